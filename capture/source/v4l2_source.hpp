// A camera through V4L2, with nothing between the driver and us. Each step of opening is a function
// with its own error; after any error, or a change of the source (another resolution at an HDMI
// input), the whole is closed and opened again.
#pragma once

#include <linux/videodev2.h>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "capture/source/counters.hpp"
#include "capture/source/source.hpp"
#include "capture/source/v4l2_buffers.hpp"
#include "capture/source/v4l2_calls.hpp"
#include "capture/source/v4l2_formats.hpp"

namespace fvlm::capture {

class V4l2Source final : public FrameSource {
 public:
  V4l2Source(const std::string& path, const SourceOptions& options,
             std::shared_ptr<V4l2Calls> calls, Counters& counters);
  ~V4l2Source() override;

  std::optional<Frame> next(std::chrono::milliseconds patience) override;
  std::string description() const override;
  std::vector<std::string> notes() const override { return notes_; }

 private:
  void open_device();
  void check_capabilities();
  void set_format(const SourceOptions& options);
  void take_format(const v4l2_format& format);
  void set_rate(double rate);
  void set_control(std::uint32_t id, const char* name, std::optional<int> value);
  void watch_source_changes();

  // All frames that wait; the newest good one is returned, the others go back.
  std::optional<Frame> newest();
  bool is_good(const V4l2Buffers::Filled& filled) const;
  void count_sequence(std::uint32_t sequence);

  std::string path_;
  std::shared_ptr<V4l2Calls> calls_;
  Counters& counters_;
  int descriptor_ = -1;
  std::string card_{};
  std::uint32_t type_ = 0;  // of the stream: with planes in one memory, or multi-planar
  CameraFormat format_{};
  std::size_t memories_ = 1;  // that the planes are divided among
  std::array<std::size_t, V4l2Buffers::kMostPlanes> strides_{};
  std::shared_ptr<V4l2Buffers> buffers_{};
  std::optional<std::uint32_t> last_sequence_{};
  std::uint64_t number_ = 0;
  std::vector<std::string> notes_{};
};

// Devices with what they offer, for people who look for theirs.
std::string list_cameras(V4l2Calls& calls);

}  // namespace fvlm::capture
