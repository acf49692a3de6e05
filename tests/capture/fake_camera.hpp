// A V4L2 driver made of nothing: it offers formats, fills buffers with what a test gives it, fails
// where it is told to, and knows what is still open or mapped.
#pragma once

#include <linux/videodev2.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "capture/source/v4l2_calls.hpp"

namespace fvlm::capture {

class FakeCamera final : public V4l2Calls {
 public:
  struct Offer {
    std::uint32_t code;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> sizes;
  };
  struct Delivery {
    std::string bytes{};  // of all planes, one behind the other
    std::uint32_t flags = 0;
    std::uint32_t skipped = 0;  // frames that were lost before it
  };

  // A `multi_planar` driver knows the calls of that kind alone.
  explicit FakeCamera(std::vector<Offer> offers, bool multi_planar = false)
      : offers_(std::move(offers)), multi_planar_(multi_planar) {}

  // For tests; from any thread.
  void deliver(Delivery delivery);
  // The next `request` fails with `error`.
  void fail(unsigned long request, int error);
  void unplug();
  void change_source();
  void set_sequence(std::uint32_t next);
  std::size_t open_descriptors() const;
  std::size_t mappings() const;
  std::size_t queued() const;  // buffers that the driver has
  std::pair<std::uint32_t, std::uint32_t> size() const { return {format_.width, format_.height}; }
  std::map<std::uint32_t, int> controls() const;

  int open(const std::string& path) override;
  int close(int descriptor) override;
  int ioctl(int descriptor, unsigned long request, void* argument) override;
  void* map(int descriptor, std::size_t length, std::size_t offset) override;
  int unmap(void* address, std::size_t length) override;
  Ready poll(int descriptor, int milliseconds) override;

 private:
  static constexpr std::uint32_t kDataOffset = 64;  // in front of a plane of a multi-planar driver
  static constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

  int answer(unsigned long request, void* argument);
  int dequeue(v4l2_buffer& buffer);
  int set_format(v4l2_format& format);
  // Bytes of each plane in memory of its own.
  std::vector<std::size_t> plane_bytes() const;
  std::uint32_t type() const {
    return multi_planar_ ? V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE : V4L2_BUF_TYPE_VIDEO_CAPTURE;
  }
  int enumerate_size(v4l2_frmsizeenum& size) const;

  mutable std::mutex mutex_{};
  std::vector<Offer> offers_;
  bool multi_planar_;
  std::map<unsigned long, int> failures_{};
  std::deque<Delivery> deliveries_{};
  std::deque<std::uint32_t> queue_{};
  std::vector<std::vector<char>> buffers_{};
  std::set<void*> mapped_{};
  std::map<std::uint32_t, int> controls_{};
  v4l2_pix_format format_{};
  std::uint32_t sequence_ = 0;
  int open_ = 0;
  bool plugged_ = true;
  bool changed_ = false;
};

}  // namespace fvlm::capture
