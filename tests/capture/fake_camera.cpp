#include "tests/capture/fake_camera.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

namespace fvlm::capture {

void FakeCamera::deliver(Delivery delivery) {
  const std::lock_guard lock(mutex_);
  deliveries_.push_back(std::move(delivery));
}

void FakeCamera::fail(unsigned long request, int error) {
  const std::lock_guard lock(mutex_);
  failures_[request] = error;
}

void FakeCamera::unplug() {
  const std::lock_guard lock(mutex_);
  plugged_ = false;
}

void FakeCamera::change_source() {
  const std::lock_guard lock(mutex_);
  changed_ = true;
}

void FakeCamera::set_sequence(std::uint32_t next) {
  const std::lock_guard lock(mutex_);
  sequence_ = next;
}

std::size_t FakeCamera::open_descriptors() const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(open_);
}

std::size_t FakeCamera::mappings() const {
  const std::lock_guard lock(mutex_);
  return mapped_.size();
}

std::size_t FakeCamera::queued() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

std::map<std::uint32_t, int> FakeCamera::controls() const {
  const std::lock_guard lock(mutex_);
  return controls_;
}

int FakeCamera::open(const std::string&) {
  const std::lock_guard lock(mutex_);
  if (!plugged_) {
    errno = ENOENT;
    return -1;
  }
  return 100 + open_++;
}

int FakeCamera::close(int) {
  const std::lock_guard lock(mutex_);
  --open_;
  queue_.clear();
  changed_ = false;
  return 0;
}

void* FakeCamera::map(int, std::size_t, std::size_t offset) {
  const std::lock_guard lock(mutex_);
  void* const address = buffers_.at(offset).data();
  mapped_.insert(address);
  return address;
}

int FakeCamera::unmap(void* address, std::size_t) {
  const std::lock_guard lock(mutex_);
  return mapped_.erase(address) == 1 ? 0 : -1;
}

V4l2Calls::Ready FakeCamera::poll(int, int milliseconds) {
  const auto look = [this]() -> Ready {
    const std::lock_guard lock(mutex_);
    return {!deliveries_.empty() && !queue_.empty(), changed_, !plugged_};
  };
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
  Ready ready = look();
  while (!ready.frame && !ready.event && !ready.error &&
         std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ready = look();
  }
  return ready;
}

int FakeCamera::ioctl(int, unsigned long request, void* argument) {
  const std::lock_guard lock(mutex_);
  int error = plugged_ ? 0 : ENODEV;
  if (const auto failure = failures_.find(request); error == 0 && failure != failures_.end()) {
    error = failure->second;
    failures_.erase(failure);
  }
  if (error == 0) error = answer(request, argument);
  errno = error;
  return error == 0 ? 0 : -1;
}

int FakeCamera::answer(unsigned long request, void* argument) {
  switch (request) {
    case VIDIOC_QUERYCAP: {
      auto& capability = *static_cast<v4l2_capability*>(argument);
      std::strcpy(reinterpret_cast<char*>(capability.card), "fake");
      capability.capabilities =
          (multi_planar_ ? V4L2_CAP_VIDEO_CAPTURE_MPLANE : V4L2_CAP_VIDEO_CAPTURE) |
          V4L2_CAP_STREAMING;
      return 0;
    }
    case VIDIOC_ENUM_FMT: {
      auto& description = *static_cast<v4l2_fmtdesc*>(argument);
      if (description.type != type() || description.index >= offers_.size()) return EINVAL;
      description.pixelformat = offers_[description.index].code;
      return 0;
    }
    case VIDIOC_ENUM_FRAMESIZES:
      return enumerate_size(*static_cast<v4l2_frmsizeenum*>(argument));
    case VIDIOC_S_FMT:
      return set_format(*static_cast<v4l2_format*>(argument));
    case VIDIOC_S_CTRL: {
      const auto& control = *static_cast<v4l2_control*>(argument);
      if (control.id == V4L2_CID_GAIN) return EINVAL;  // it has none
      if (control.value > 255) return ERANGE;
      controls_[control.id] = control.value;
      return 0;
    }
    case VIDIOC_QUERYCTRL: {
      auto& query = *static_cast<v4l2_queryctrl*>(argument);
      if (query.id == V4L2_CID_GAIN) return EINVAL;
      query.minimum = 0;
      query.maximum = 255;
      return 0;
    }
    case VIDIOC_REQBUFS: {
      const auto& wish = *static_cast<v4l2_requestbuffers*>(argument);
      if (wish.type != type()) return EINVAL;
      buffers_.assign(wish.count * plane_bytes().size(), std::vector<char>(kBufferBytes));
      return 0;
    }
    case VIDIOC_QUERYBUF: {
      auto& buffer = *static_cast<v4l2_buffer*>(argument);
      if (buffer.type != type()) return EINVAL;
      if (!multi_planar_) {
        buffer.length = kBufferBytes;
        buffer.m.offset = buffer.index;
        return 0;
      }
      const auto planes = static_cast<std::uint32_t>(plane_bytes().size());
      if (buffer.length < planes) return EINVAL;
      for (std::uint32_t i = 0; i < planes; ++i) {
        buffer.m.planes[i].length = kBufferBytes;
        buffer.m.planes[i].m.mem_offset = buffer.index * planes + i;
      }
      return 0;
    }
    case VIDIOC_QBUF:
      queue_.push_back(static_cast<v4l2_buffer*>(argument)->index);
      return 0;
    case VIDIOC_DQBUF:
      return dequeue(*static_cast<v4l2_buffer*>(argument));
    default:
      return 0;
  }
}

int FakeCamera::enumerate_size(v4l2_frmsizeenum& size) const {
  const auto offer = std::find_if(offers_.begin(), offers_.end(),
                                  [&](const Offer& one) { return one.code == size.pixel_format; });
  if (offer == offers_.end() || size.index >= offer->sizes.size()) return EINVAL;
  size.type = V4L2_FRMSIZE_TYPE_DISCRETE;
  size.discrete = {offer->sizes[size.index].first, offer->sizes[size.index].second};
  return 0;
}

int FakeCamera::set_format(v4l2_format& format) {
  format_ = format.fmt.pix;
  const bool packed = format_.pixelformat == V4L2_PIX_FMT_YUYV;
  format_.bytesperline = packed ? 2 * format_.width : format_.width;
  if (format.type != type()) return EINVAL;
  if (!multi_planar_) {
    format.fmt.pix = format_;
    return 0;
  }
  const bool three = format_.pixelformat == V4L2_PIX_FMT_YUV420M;
  auto& planes = format.fmt.pix_mp;
  planes.num_planes = static_cast<std::uint8_t>(plane_bytes().size());
  for (std::uint32_t i = 0; i < planes.num_planes; ++i) {
    planes.plane_fmt[i].bytesperline = three && i > 0 ? format_.width / 2 : format_.bytesperline;
  }
  return 0;
}

std::vector<std::size_t> FakeCamera::plane_bytes() const {
  const std::size_t luma = std::size_t{format_.bytesperline} * format_.height;
  if (format_.pixelformat == V4L2_PIX_FMT_NV12M) return {luma, luma / 2};
  if (format_.pixelformat == V4L2_PIX_FMT_YUV420M) return {luma, luma / 4, luma / 4};
  return {kBufferBytes};
}

int FakeCamera::dequeue(v4l2_buffer& buffer) {
  if (deliveries_.empty() || queue_.empty()) return EAGAIN;
  const Delivery delivery = std::move(deliveries_.front());
  deliveries_.pop_front();
  buffer.index = queue_.front();
  queue_.pop_front();
  if (!multi_planar_) {
    std::copy(delivery.bytes.begin(), delivery.bytes.end(), buffers_[buffer.index].begin());
    buffer.bytesused = static_cast<std::uint32_t>(delivery.bytes.size());
  } else {
    const auto sizes = plane_bytes();
    std::size_t at = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      const std::string part = delivery.bytes.substr(std::min(at, delivery.bytes.size()), sizes[i]);
      at += sizes[i];
      std::copy(part.begin(), part.end(),
                buffers_[buffer.index * sizes.size() + i].begin() + kDataOffset);
      buffer.m.planes[i].data_offset = kDataOffset;
      buffer.m.planes[i].bytesused = kDataOffset + static_cast<std::uint32_t>(part.size());
    }
  }
  buffer.flags = delivery.flags;
  sequence_ += delivery.skipped;
  buffer.sequence = sequence_++;
  return 0;
}

}  // namespace fvlm::capture
