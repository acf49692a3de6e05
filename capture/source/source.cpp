#include "capture/source/source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <string_view>
#include <utility>

#include "capture/source/image_source.hpp"
#include "capture/source/pattern_source.hpp"
#include "capture/source/pipe_source.hpp"
#include "capture/source/v4l2_source.hpp"

namespace fvlm::capture {
namespace {

constexpr std::array<std::pair<std::string_view, PixelFormat>, 6> kNames = {{
    {"mjpeg", PixelFormat::kMjpeg},
    {"yu12", PixelFormat::kYu12},
    {"nv12", PixelFormat::kNv12},
    {"yuyv", PixelFormat::kYuyv},
    {"uyvy", PixelFormat::kUyvy},
    {"grey", PixelFormat::kGrey},
}};

// What is before the first colon, and what behind it.
std::pair<std::string, std::string> split(const std::string& source) {
  const std::size_t colon = source.find(':');
  if (colon == std::string::npos) return {source, ""};
  return {source.substr(0, colon), source.substr(colon + 1)};
}

bool is_number(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](unsigned char c) { return std::isdigit(c) != 0; });
}

// A path, a number, or nothing: then the first of two that can be opened.
std::unique_ptr<FrameSource> open_camera(const std::string& which, const SourceOptions& options,
                                         Counters& counters) {
  const auto open = [&](const std::string& path) {
    return std::make_unique<V4l2Source>(path, options, system_calls(), counters);
  };
  if (is_number(which)) return open("/dev/video" + which);
  if (!which.empty()) return open(which);
  constexpr char kFirst[] = "/dev/video0";
  constexpr char kSecond[] = "/dev/video1";
  if (!std::filesystem::exists(kFirst) && !std::filesystem::exists(kSecond)) {
    throw SourceError(
        Cause::kNoCamera,
        fmt::format("no camera: there is neither {} nor {}; plug one in, or name another source: "
                    "--source images:DIR, test-pattern or pipe:COMMAND",
                    kFirst, kSecond));
  }
  if (!std::filesystem::exists(kSecond)) return open(kFirst);
  try {
    return open(kFirst);
  } catch (const SourceError& first) {
    try {
      return open(kSecond);
    } catch (const SourceError& second) {
      throw SourceError(first.trouble().cause,
                        fmt::format("no camera: {}; {}", first.what(), second.what()));
    }
  }
}

}  // namespace

std::optional<PixelFormat> format_of(const std::string& name) {
  for (const auto& [known, format] : kNames) {
    if (known == name) return format;
  }
  return std::nullopt;
}

std::string name_of(PixelFormat format) {
  for (const auto& [name, known] : kNames) {
    if (known == format) return std::string(name);
  }
  return {};
}

std::string public_name(const std::string& source) {
  return split(source).first == "pipe" ? source.substr(0, source.find(' ')) : source;
}

void check_source(const std::string& source) {
  const auto [kind, rest] = split(source);
  const bool known = kind == "v4l2" || ((kind == "images" || kind == "pipe") && !rest.empty()) ||
                     (kind == "test-pattern" && (rest.empty() || format_of(rest)));
  if (known) return;
  throw SourceError(
      fmt::format("{}: no such source; there are v4l2[:DEVICE], images:DIR, "
                  "test-pattern[:FORMAT] and pipe:COMMAND",
                  kind));  // the rest may hold a password
}

std::unique_ptr<FrameSource> open_source(const SourceOptions& options, Counters& counters) {
  constexpr double kPatternRate = 30;
  constexpr double kImageRate = 1;
  check_source(options.source);
  const auto [kind, rest] = split(options.source);
  const bool given = options.rate > 0;
  if (kind == "v4l2") return open_camera(rest, options, counters);
  if (kind == "pipe") return std::make_unique<PipeSource>(rest, counters);
  if (kind == "images") {
    return std::make_unique<ImageSource>(rest, given ? options.rate : kImageRate, counters);
  }
  return std::make_unique<PatternSource>(format_of(rest).value_or(PixelFormat::kMjpeg),
                                         options.width, given ? options.rate : kPatternRate);
}

}  // namespace fvlm::capture
