// A command that writes JPEGs, one behind the other, to its standard output: for CSI cameras
//   rpicam-vid -t 0 --codec mjpeg -o -
// and, with ffmpeg -f mjpeg, for RTSP and files. It runs in a process group of its own, which ends
// with us: also when we are killed. When it ends, that is a SourceError, and it is started anew.
#pragma once

#include <sys/types.h>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "capture/source/counters.hpp"
#include "capture/source/jpeg_stream.hpp"
#include "capture/source/source.hpp"

namespace fvlm::capture {

class PipeSource final : public FrameSource {
 public:
  PipeSource(const std::string& command, Counters& counters);
  // Asks the command to end, and after a second makes it.
  ~PipeSource() override;
  PipeSource(const PipeSource&) = delete;
  PipeSource& operator=(const PipeSource&) = delete;

  std::optional<Frame> next(std::chrono::milliseconds patience) override;
  std::string description() const override { return name_; }

 private:
  // Everything that can be read at once; false at the end of the stream.
  bool read_all();
  std::optional<Frame> newest();
  std::string ending();

  std::string name_;
  Counters& counters_;
  int output_ = -1;
  pid_t process_ = -1;
  JpegStream stream_{};
  std::size_t damaged_ = 0;
  std::uint64_t number_ = 0;
};

}  // namespace fvlm::capture
