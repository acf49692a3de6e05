// Cuts a stream of JPEGs, one behind the other, into pictures: what `rpicam-vid --codec mjpeg` and
// `ffmpeg -f mjpeg` write. It follows the segments, so that a thumbnail inside one is not taken for
// the end. What lies between an end and the next beginning is skipped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace fvlm::capture {

class JpegStream {
 public:
  using Picture = std::shared_ptr<const std::vector<std::uint8_t>>;
  struct Room {
    std::uint8_t* data;
    std::size_t size;
  };

  // Where to read to.
  Room room();
  // Says that `size` bytes were put there.
  void add(std::size_t size) { used_ += size; }
  // The next whole picture of what was added; none if it is not whole yet.
  Picture next();
  // Pictures that were given up: no JPEG inside, or larger than 8 MiB.
  std::size_t damaged() const { return damaged_; }

 private:
  enum class Part { kNothing, kSegments, kScan };

  // Each moves at_ as far as the bytes go, and says whether it wants to go on.
  bool find_start();
  bool pass_segment();
  bool pass_scan();
  void give_up();
  Picture cut();

  std::vector<std::uint8_t> bytes_{};
  std::size_t used_ = 0;
  std::size_t start_ = 0;  // of the picture
  std::size_t at_ = 0;     // up to here it is understood
  Part part_ = Part::kNothing;
  bool whole_ = false;
  std::size_t damaged_ = 0;
};

}  // namespace fvlm::capture
