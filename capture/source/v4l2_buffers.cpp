#include "capture/source/v4l2_buffers.hpp"

#include <fmt/format.h>
#include <linux/videodev2.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "capture/source/source.hpp"

namespace fvlm::capture {
namespace {

// One with the driver at least, one being filled, and those of mailbox, encoder and socket.
constexpr std::uint32_t kBuffers = 6;
constexpr std::uint32_t kFewest = 2;

v4l2_buffer buffer_of(std::uint32_t index) {
  v4l2_buffer buffer{};
  buffer.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  buffer.memory = V4L2_MEMORY_MMAP;
  buffer.index = index;
  return buffer;
}

[[noreturn]] void fail(const char* what) {
  throw SourceError(fmt::format("{}: {}", what, meaning_of(errno)));
}

}  // namespace

V4l2Buffers::V4l2Buffers(std::shared_ptr<V4l2Calls> calls, int descriptor)
    : calls_(std::move(calls)), descriptor_(descriptor) {}

V4l2Buffers::~V4l2Buffers() {
  close();
  for (const Mapping& mapping : mappings_) calls_->unmap(mapping.address, mapping.length);
}

void V4l2Buffers::start() {
  v4l2_requestbuffers request{};
  request.count = kBuffers;
  request.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  request.memory = V4L2_MEMORY_MMAP;
  if (calls_->ioctl(descriptor_, VIDIOC_REQBUFS, &request) != 0) fail("VIDIOC_REQBUFS");
  if (request.count < kFewest) throw SourceError("the camera has too little memory for buffers");
  for (std::uint32_t index = 0; index < request.count; ++index) {
    v4l2_buffer buffer = buffer_of(index);
    if (calls_->ioctl(descriptor_, VIDIOC_QUERYBUF, &buffer) != 0) fail("VIDIOC_QUERYBUF");
    void* const address = calls_->map(descriptor_, buffer.length, buffer.m.offset);
    if (address == nullptr) fail("mmap");
    mappings_.push_back({address, buffer.length});
    if (calls_->ioctl(descriptor_, VIDIOC_QBUF, &buffer) != 0) fail("VIDIOC_QBUF");
  }
  int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  if (calls_->ioctl(descriptor_, VIDIOC_STREAMON, &type) != 0) fail("VIDIOC_STREAMON");
  streaming_ = true;
}

void V4l2Buffers::close() {
  const std::lock_guard lock(mutex_);
  if (descriptor_ < 0) return;
  int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  if (streaming_) calls_->ioctl(descriptor_, VIDIOC_STREAMOFF, &type);  // also if it is gone
  streaming_ = false;
  calls_->close(descriptor_);
  descriptor_ = -1;
}

bool V4l2Buffers::dequeue(Filled& filled) {
  v4l2_buffer buffer = buffer_of(0);
  const std::lock_guard lock(mutex_);
  if (failed_ != 0) {
    errno = failed_;
    fail("VIDIOC_QBUF");
  }
  if (calls_->ioctl(descriptor_, VIDIOC_DQBUF, &buffer) != 0) {
    if (errno == EAGAIN) return false;
    fail("VIDIOC_DQBUF");
  }
  if (buffer.index >= mappings_.size()) throw SourceError("VIDIOC_DQBUF: a buffer we never had");
  const Mapping& mapping = mappings_[buffer.index];
  filled = {buffer.index,
            {static_cast<const std::uint8_t*>(mapping.address),
             std::min<std::size_t>(buffer.bytesused, mapping.length)},
            buffer.sequence,
            (buffer.flags & V4L2_BUF_FLAG_ERROR) != 0};
  return true;
}

void V4l2Buffers::give_back(std::uint32_t index) {
  v4l2_buffer buffer = buffer_of(index);
  const std::lock_guard lock(mutex_);
  if (streaming_ && calls_->ioctl(descriptor_, VIDIOC_QBUF, &buffer) != 0) failed_ = errno;
}

std::shared_ptr<const void> V4l2Buffers::lease(std::uint32_t index) {
  return {mappings_[index].address,
          [self = shared_from_this(), index](const void*) { self->give_back(index); }};
}

}  // namespace fvlm::capture
