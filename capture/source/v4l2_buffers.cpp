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

[[noreturn]] void fail(const char* what) {
  const Trouble meaning = meaning_of(errno);
  throw SourceError(meaning.cause, fmt::format("{}: {}", what, meaning.text));
}

}  // namespace

V4l2Buffers::V4l2Buffers(std::shared_ptr<V4l2Calls> calls, int descriptor)
    : calls_(std::move(calls)), descriptor_(descriptor) {}

struct V4l2Buffers::Request {
  Request(std::uint32_t type, std::size_t count, std::uint32_t index) {
    buffer.type = type;
    buffer.memory = V4L2_MEMORY_MMAP;
    buffer.index = index;
    if (!V4L2_TYPE_IS_MULTIPLANAR(type)) return;
    buffer.m.planes = planes.data();
    buffer.length = static_cast<std::uint32_t>(count);
  }
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  v4l2_buffer buffer{};
  std::array<v4l2_plane, kMostPlanes> planes{};
};

V4l2Buffers::~V4l2Buffers() {
  close();
  for (const auto& buffer : mappings_) {
    for (const Mapping& mapping : buffer) {
      if (mapping.address != nullptr) calls_->unmap(mapping.address, mapping.length);
    }
  }
}

void V4l2Buffers::start(std::uint32_t type, std::size_t planes) {
  if (planes < 1 || planes > kMostPlanes) {
    throw SourceError("the format has more planes than there are of a picture");
  }
  type_ = type;
  planes_ = planes;
  v4l2_requestbuffers request{};
  request.count = kBuffers;
  request.type = type_;
  request.memory = V4L2_MEMORY_MMAP;
  if (calls_->ioctl(descriptor_, VIDIOC_REQBUFS, &request) != 0) fail("VIDIOC_REQBUFS");
  if (request.count < kFewest) throw SourceError("the camera has too little memory for buffers");
  for (std::uint32_t index = 0; index < request.count; ++index) {
    Request each(type_, planes_, index);
    if (calls_->ioctl(descriptor_, VIDIOC_QUERYBUF, &each.buffer) != 0) fail("VIDIOC_QUERYBUF");
    map(each);
    if (calls_->ioctl(descriptor_, VIDIOC_QBUF, &each.buffer) != 0) fail("VIDIOC_QBUF");
  }
  if (calls_->ioctl(descriptor_, VIDIOC_STREAMON, &type_) != 0) fail("VIDIOC_STREAMON");
  streaming_ = true;
}

void V4l2Buffers::map(const Request& request) {
  auto& mappings = mappings_.emplace_back();
  const bool apart = V4L2_TYPE_IS_MULTIPLANAR(type_);
  for (std::size_t i = 0; i < planes_; ++i) {
    const std::size_t length = apart ? request.planes[i].length : request.buffer.length;
    const std::size_t offset = apart ? request.planes[i].m.mem_offset : request.buffer.m.offset;
    void* const address = calls_->map(descriptor_, length, offset);
    if (address == nullptr) fail("mmap");
    mappings[i] = {address, length};
  }
}

void V4l2Buffers::close() {
  const std::lock_guard lock(mutex_);
  if (descriptor_ < 0) return;
  if (streaming_) calls_->ioctl(descriptor_, VIDIOC_STREAMOFF, &type_);  // also if it is gone
  streaming_ = false;
  calls_->close(descriptor_);
  descriptor_ = -1;
}

bool V4l2Buffers::dequeue(Filled& filled) {
  const std::lock_guard lock(mutex_);
  Request request(type_, planes_, 0);
  const v4l2_buffer& buffer = request.buffer;
  if (failed_ != 0) {
    errno = failed_;
    fail("VIDIOC_QBUF");
  }
  if (calls_->ioctl(descriptor_, VIDIOC_DQBUF, &request.buffer) != 0) {
    if (errno == EAGAIN) return false;
    fail("VIDIOC_DQBUF");
  }
  if (buffer.index >= mappings_.size()) throw SourceError("VIDIOC_DQBUF: a buffer we never had");
  filled = {buffer.index, {}, buffer.sequence, (buffer.flags & V4L2_BUF_FLAG_ERROR) != 0};
  const bool apart = V4L2_TYPE_IS_MULTIPLANAR(type_);
  for (std::size_t i = 0; i < planes_; ++i) {
    const Mapping& mapping = mappings_[buffer.index][i];
    // What is used counts from the beginning, also what is in front of the data.
    const std::size_t from =
        apart ? std::min<std::size_t>(request.planes[i].data_offset, mapping.length) : 0;
    const std::size_t used = apart ? request.planes[i].bytesused : buffer.bytesused;
    const std::size_t to = std::clamp(used, from, mapping.length);
    filled.planes[i] = {static_cast<const std::uint8_t*>(mapping.address) + from, to - from};
  }
  return true;
}

void V4l2Buffers::give_back(std::uint32_t index) {
  const std::lock_guard lock(mutex_);
  Request request(type_, planes_, index);
  if (streaming_ && calls_->ioctl(descriptor_, VIDIOC_QBUF, &request.buffer) != 0) failed_ = errno;
}

std::shared_ptr<const void> V4l2Buffers::lease(std::uint32_t index) {
  return {mappings_[index][0].address,
          [self = shared_from_this(), index](const void*) { self->give_back(index); }};
}

}  // namespace fvlm::capture
