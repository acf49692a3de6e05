// Where frames come from. A source is open as long as it lives: the constructor opens it, and what
// goes wrong then or later is a SourceError, after which it is only good for destruction. Trying
// again is the business of Camera.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "capture/source/counters.hpp"
#include "capture/source/frame.hpp"
#include "capture/source/trouble.hpp"

namespace fvlm::capture {

// What was tried, what happened.
class SourceError : public std::runtime_error {
 public:
  explicit SourceError(const std::string& text) : SourceError(Cause::kOther, text) {}
  SourceError(Cause cause, const std::string& text) : std::runtime_error(text), cause_(cause) {}

  Trouble trouble() const { return {cause_, what()}; }

 private:
  Cause cause_;
};

struct SourceOptions {
  // v4l2[:PATH or INDEX] | images:DIR | test-pattern[:FORMAT] | pipe:COMMAND
  std::string source = "v4l2";
  int width = 640;  // wanted; a camera may give more, and sources that draw obey
  double rate = 0;  // frames a second; 0: what the source likes
  std::optional<PixelFormat> format{};  // of a camera; none: the cheapest
  std::optional<int> exposure{};        // of a camera, in units of 100 us; sets it to manual
  std::optional<int> gain{};
  std::optional<int> brightness{};
};

class FrameSource {
 public:
  virtual ~FrameSource() = default;
  // The newest frame there is, or the first to come within `patience`; none if none comes. Frames
  // with visible damage are counted and left out.
  virtual std::optional<Frame> next(std::chrono::milliseconds patience) = 0;
  // For people: device, format, size.
  virtual std::string description() const = 0;
  // What was asked for and could not be had.
  virtual std::vector<std::string> notes() const { return {}; }
};

// What may be shown of it: of a command its first word, as the rest may hold passwords.
std::string public_name(const std::string& source);
// Throws SourceError if it is none of the kinds there are.
void check_source(const std::string& source);
std::unique_ptr<FrameSource> open_source(const SourceOptions& options, Counters& counters);

// "mjpeg", "yu12" ...; none if it is no format.
std::optional<PixelFormat> format_of(const std::string& name);
std::string name_of(PixelFormat format);

}  // namespace fvlm::capture
