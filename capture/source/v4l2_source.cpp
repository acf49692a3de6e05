#include "capture/source/v4l2_source.hpp"

#include <fmt/ranges.h>
#include <linux/videodev2.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>
#include <utility>

#include "capture/source/jpeg_header.hpp"
#include "capture/source/planes.hpp"

namespace fvlm::capture {
namespace {

std::uint32_t capabilities_of(const v4l2_capability& capability) {
  return (capability.capabilities & V4L2_CAP_DEVICE_CAPS) != 0 ? capability.device_caps
                                                               : capability.capabilities;
}

// The type of its stream, if it captures video: with all planes in one memory where it has the
// choice.
std::optional<std::uint32_t> stream_type(std::uint32_t capabilities) {
  if ((capabilities & V4L2_CAP_VIDEO_CAPTURE) != 0) return V4L2_BUF_TYPE_VIDEO_CAPTURE;
  if ((capabilities & V4L2_CAP_VIDEO_CAPTURE_MPLANE) != 0) {
    return V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
  }
  return std::nullopt;
}

std::string card_of(const v4l2_capability& capability) {
  const auto* const name = reinterpret_cast<const char*>(capability.card);
  return {name, ::strnlen(name, sizeof capability.card)};
}

}  // namespace

V4l2Source::V4l2Source(const std::string& path, const SourceOptions& options,
                       std::shared_ptr<V4l2Calls> calls, Counters& counters)
    : path_(path), calls_(std::move(calls)), counters_(counters) {
  open_device();
  check_capabilities();
  set_format(options);
  set_rate(options.rate);
  if (options.exposure) set_control(V4L2_CID_EXPOSURE_AUTO, "exposure mode", V4L2_EXPOSURE_MANUAL);
  set_control(V4L2_CID_EXPOSURE_ABSOLUTE, "exposure", options.exposure);
  if (options.gain) set_control(V4L2_CID_AUTOGAIN, "automatic gain", 0);
  set_control(V4L2_CID_GAIN, "gain", options.gain);
  set_control(V4L2_CID_BRIGHTNESS, "brightness", options.brightness);
  watch_source_changes();
  try {
    buffers_->start(type_, memories_);
  } catch (const SourceError& error) {
    throw SourceError(error.trouble().cause, fmt::format("{}: {}", path_, error.what()));
  }
}

V4l2Source::~V4l2Source() {
  buffers_->close();
}

void V4l2Source::open_device() {
  descriptor_ = calls_->open(path_);
  if (descriptor_ < 0) {
    const Trouble meaning = meaning_of(errno);
    throw SourceError(meaning.cause, fmt::format("{}: {}", path_, meaning.text));
  }
  buffers_ = std::make_shared<V4l2Buffers>(calls_, descriptor_);
}

void V4l2Source::check_capabilities() {
  v4l2_capability capability{};
  if (calls_->ioctl(descriptor_, VIDIOC_QUERYCAP, &capability) != 0) {
    throw SourceError(
        Cause::kNoVideo,
        fmt::format("{}: not a camera of V4L2; fastvlm-camera --list shows which there are",
                    path_));
  }
  card_ = card_of(capability);
  const std::uint32_t can = capabilities_of(capability);
  const auto type = stream_type(can);
  if (!type || (can & V4L2_CAP_STREAMING) == 0) {
    throw SourceError(Cause::kNoVideo,
                      fmt::format("{}: {} streams no video that can be captured; fastvlm-camera "
                                  "--list shows what does, and "
                                  "for a CSI camera give --source 'pipe:rpicam-vid ...'",
                                  path_, card_));
  }
  type_ = *type;
}

void V4l2Source::set_format(const SourceOptions& options) {
  const auto offered = list_formats(*calls_, descriptor_, type_, options.width);
  const auto chosen = choose_format(offered, options.width, options.format);
  if (!chosen) {
    std::set<std::string> codes;
    for (const CameraFormat& one : offered) codes.insert(code_text(one.code));
    throw SourceError(
        Cause::kNoFormat,
        fmt::format(
            "{}: {} offers only {}; wanted {}", path_, card_,
            codes.empty() ? "nothing" : fmt::format("{}", fmt::join(codes, ", ")),
            options.format ? name_of(*options.format) : "MJPG, YU12, NV12, YUYV, UYVY or GREY"));
  }
  v4l2_format wish{};
  wish.type = type_;
  // The first fields are the same for both types.
  wish.fmt.pix.width = static_cast<std::uint32_t>(chosen->width);
  wish.fmt.pix.height = static_cast<std::uint32_t>(chosen->height);
  wish.fmt.pix.pixelformat = chosen->code;
  wish.fmt.pix.field = V4L2_FIELD_NONE;
  if (calls_->ioctl(descriptor_, VIDIOC_S_FMT, &wish) != 0) {
    const Trouble meaning = meaning_of(errno);
    throw SourceError(meaning.cause, fmt::format("{}: VIDIOC_S_FMT: {}", path_, meaning.text));
  }
  if (wish.fmt.pix.pixelformat != chosen->code) {
    throw SourceError(fmt::format("{}: offers {}, but gives {}", path_, code_text(chosen->code),
                                  code_text(wish.fmt.pix.pixelformat)));
  }
  format_ = {chosen->code, chosen->format, static_cast<int>(wish.fmt.pix.width),
             static_cast<int>(wish.fmt.pix.height)};
  take_format(wish);
}

void V4l2Source::take_format(const v4l2_format& format) {
  if (!V4L2_TYPE_IS_MULTIPLANAR(type_)) {
    strides_[0] = format.fmt.pix.bytesperline;
    return;
  }
  memories_ = format.fmt.pix_mp.num_planes;
  for (std::size_t i = 0; i < std::min(memories_, strides_.size()); ++i) {
    strides_[i] = format.fmt.pix_mp.plane_fmt[i].bytesperline;
  }
}

// A wish: cameras have rates of their own.
void V4l2Source::set_rate(double rate) {
  if (rate <= 0) return;
  v4l2_streamparm parameters{};
  parameters.type = type_;
  parameters.parm.capture.timeperframe = {1000, static_cast<std::uint32_t>(rate * 1000)};
  if (calls_->ioctl(descriptor_, VIDIOC_S_PARM, &parameters) != 0) {
    notes_.push_back(fmt::format("{} does not let its rate be set", card_));
  }
}

void V4l2Source::set_control(std::uint32_t id, const char* name, std::optional<int> value) {
  if (!value) return;
  v4l2_control control{id, *value};
  if (calls_->ioctl(descriptor_, VIDIOC_S_CTRL, &control) == 0) return;
  v4l2_queryctrl range{};
  range.id = id;
  if (calls_->ioctl(descriptor_, VIDIOC_QUERYCTRL, &range) != 0) {
    notes_.push_back(fmt::format("{} has no control for {}", card_, name));
  } else {
    notes_.push_back(fmt::format("{}: {} cannot be {}: it goes from {} to {}", card_, name, *value,
                                 range.minimum, range.maximum));
  }
}

void V4l2Source::watch_source_changes() {
  v4l2_event_subscription wanted{};
  wanted.type = V4L2_EVENT_SOURCE_CHANGE;
  calls_->ioctl(descriptor_, VIDIOC_SUBSCRIBE_EVENT, &wanted);  // most cameras have none
}

std::optional<Frame> V4l2Source::next(std::chrono::milliseconds patience) {
  const V4l2Calls::Ready ready = calls_->poll(descriptor_, static_cast<int>(patience.count()));
  // First, because a device that is gone reports everything else as well.
  if (ready.error)
    throw SourceError(Cause::kCameraGone, fmt::format("{}: the camera is gone", path_));
  if (ready.event) throw SourceError(fmt::format("{}: the source changed", path_));
  if (!ready.frame) return std::nullopt;
  try {
    return newest();
  } catch (const SourceError& error) {
    throw SourceError(error.trouble().cause, fmt::format("{}: {}", path_, error.what()));
  }
}

std::optional<Frame> V4l2Source::newest() {
  std::optional<Frame> newest;
  V4l2Buffers::Filled filled;
  while (buffers_->dequeue(filled)) {
    count_sequence(filled.sequence);
    auto hold = buffers_->lease(filled.index);
    if (!is_good(filled)) {
      counters_.damaged.add();
      continue;
    }
    if (newest) counters_.replaced.add();
    newest = Frame{*format_.format,
                   format_.width,
                   format_.height,
                   strides_[0],
                   filled.planes[0],
                   {filled.planes[1], filled.planes[2]},
                   {strides_[1], strides_[2]},
                   number_,
                   Clock::now(),
                   std::move(hold)};
  }
  return newest;
}

bool V4l2Source::is_good(const V4l2Buffers::Filled& filled) const {
  if (filled.damaged) return false;
  const auto& planes = filled.planes;
  if (*format_.format == PixelFormat::kMjpeg) return read_jpeg_header(planes[0]).has_value();
  if (memories_ == 1) {
    return planes[0].size >= frame_bytes(*format_.format, strides_[0], format_.height);
  }
  const auto height = static_cast<std::size_t>(format_.height);
  bool whole = planes[0].size >= strides_[0] * height;
  for (std::size_t i = 1; i < memories_; ++i) {
    whole = whole && planes[i].size >= strides_[i] * (height / 2);
  }
  return whole;
}

// The driver's number starts again at 0 after 2^32 frames, so differences are what counts. One that
// goes back is a driver that started over.
void V4l2Source::count_sequence(std::uint32_t sequence) {
  std::uint32_t step = last_sequence_ ? sequence - *last_sequence_ : 1;
  if (step == 0 || step > 1U << 31) step = 1;
  counters_.dropped.add(step - 1);
  number_ += step;
  last_sequence_ = sequence;
}

std::string V4l2Source::description() const {
  return fmt::format("{} ({}), {} {}x{}", path_, card_, code_text(format_.code), format_.width,
                     format_.height);
}

std::string list_cameras(V4l2Calls& calls) {
  std::string text;
  std::set<std::string> paths;
  std::error_code nothing_there;
  for (const auto& entry : std::filesystem::directory_iterator("/dev", nothing_there)) {
    if (entry.path().filename().string().rfind("video", 0) == 0) paths.insert(entry.path());
  }
  for (const std::string& path : paths) {
    const int descriptor = calls.open(path);
    if (descriptor < 0) continue;
    v4l2_capability capability{};
    const bool answers = calls.ioctl(descriptor, VIDIOC_QUERYCAP, &capability) == 0;
    if (const auto type = stream_type(capabilities_of(capability)); answers && type) {
      text += fmt::format("{}: {}\n", path, card_of(capability));
      for (const CameraFormat& one : list_formats(calls, descriptor, *type, 640)) {
        text += fmt::format("  {} {}x{}{}\n", code_text(one.code), one.width, one.height,
                            one.format ? "" : ", which is not read");
      }
    }
    calls.close(descriptor);
  }
  return text.empty() ? "No camera under /dev/video*.\n" : text;
}

}  // namespace fvlm::capture
