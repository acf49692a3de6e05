// The buffers that a camera and we share, from VIDIOC_STREAMON to the last frame in use. A buffer
// that was taken goes back to the driver when its last user lets go, on whatever thread that is.
// The device closes at once on close(), so that a camera that is gone can come back, but memory
// stays mapped as long as a frame lies in it. A multi-planar driver may put the planes of one
// buffer into memory of their own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "capture/source/frame.hpp"
#include "capture/source/v4l2_calls.hpp"

namespace fvlm::capture {

class V4l2Buffers : public std::enable_shared_from_this<V4l2Buffers> {
 public:
  // Takes over the open device, also if opening fails later.
  V4l2Buffers(std::shared_ptr<V4l2Calls> calls, int descriptor);
  ~V4l2Buffers();
  V4l2Buffers(const V4l2Buffers&) = delete;
  V4l2Buffers& operator=(const V4l2Buffers&) = delete;

  static constexpr std::size_t kMostPlanes = 3;

  // Buffers for the format that is set, all of them queued, and the stream started: of `type`
  // V4L2_BUF_TYPE_VIDEO_CAPTURE or _MPLANE, the latter with `planes` in memory of their own. Throws
  // SourceError with the name of the call that failed.
  void start(std::uint32_t type, std::size_t planes);
  void close();

  // What the driver filled.
  struct Filled {
    std::uint32_t index = 0;
    std::array<Bytes, kMostPlanes> planes{};  // one, unless the format has them apart
    std::uint32_t sequence = 0;
    bool damaged = false;
  };
  // The next one; false if there is none yet. Throws SourceError.
  bool dequeue(Filled& filled);
  void give_back(std::uint32_t index);
  // Gives it back when the last copy of this goes.
  std::shared_ptr<const void> lease(std::uint32_t index);

 private:
  struct Mapping {
    void* address = nullptr;
    std::size_t length = 0;
  };
  // What the calls take: a buffer, and behind it its planes.
  struct Request;

  void map(const Request& request);

  std::shared_ptr<V4l2Calls> calls_;
  std::mutex mutex_{};  // of what follows: leases end on any thread
  int descriptor_;
  bool streaming_ = false;
  int failed_ = 0;  // errno of a give_back
  std::uint32_t type_ = 0;
  std::size_t planes_ = 1;
  std::vector<std::array<Mapping, kMostPlanes>> mappings_{};  // of each buffer
};

}  // namespace fvlm::capture
