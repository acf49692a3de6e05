#include "capture/source/jpeg_stream.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "capture/source/jpeg_markers.hpp"

namespace fvlm::capture {
namespace {

constexpr std::size_t kChunk = std::size_t{64} << 10;
constexpr std::size_t kMaxPicture = std::size_t{8} << 20;

bool is_data(std::uint8_t after_ff) {
  return after_ff == 0 || (after_ff >= kRst0 && after_ff <= kRst7);
}

}  // namespace

JpegStream::Room JpegStream::room() {
  if (bytes_.size() < used_ + kChunk) bytes_.resize(std::max(used_ + kChunk, 2 * used_));
  return {bytes_.data() + used_, bytes_.size() - used_};
}

JpegStream::Picture JpegStream::next() {
  bool more = true;
  while (more && !whole_) {
    switch (part_) {
      case Part::kNothing:
        more = find_start();
        break;
      case Part::kSegments:
        more = pass_segment();
        break;
      case Part::kScan:
        more = pass_scan();
        break;
    }
    if (part_ != Part::kNothing && at_ - start_ > kMaxPicture) give_up();
  }
  return whole_ ? cut() : nullptr;
}

bool JpegStream::find_start() {
  while (used_ - at_ >= 2) {
    const auto* const found =
        static_cast<const std::uint8_t*>(std::memchr(bytes_.data() + at_, 0xFF, used_ - at_ - 1));
    if (found == nullptr) {
      at_ = used_ - 1;
      break;
    }
    at_ = static_cast<std::size_t>(found - bytes_.data());
    if (found[1] == kSoi) {
      start_ = at_;
      at_ += 2;
      part_ = Part::kSegments;
      return true;
    }
    ++at_;
  }
  // Nothing before at_ is of use: do not let it pile up.
  bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(at_));
  used_ -= at_;
  at_ = 0;
  return false;
}

bool JpegStream::pass_segment() {
  if (used_ - at_ < 2) return false;
  const std::uint8_t* const here = bytes_.data() + at_;
  const std::uint8_t marker = here[1];
  if (here[0] != 0xFF || marker == kSoi) {
    give_up();
    return true;
  }
  if (marker == 0xFF) {  // fill
    ++at_;
    return true;
  }
  if (marker == kEoi) {
    at_ += 2;
    whole_ = true;
    return false;
  }
  if (used_ - at_ < 4) return false;
  const std::size_t length = 2 + (std::size_t{here[2]} << 8 | here[3]);
  if (used_ - at_ < length) return false;
  at_ += length;
  if (marker == kSos) part_ = Part::kScan;
  return true;
}

bool JpegStream::pass_scan() {
  while (used_ - at_ >= 2) {
    const auto* const found =
        static_cast<const std::uint8_t*>(std::memchr(bytes_.data() + at_, 0xFF, used_ - at_ - 1));
    if (found == nullptr) {
      at_ = used_ - 1;
      return false;
    }
    at_ = static_cast<std::size_t>(found - bytes_.data());
    if (!is_data(found[1])) {
      part_ = Part::kSegments;
      return true;
    }
    at_ += 2;
  }
  return false;
}

// Looks for a beginning from here on.
void JpegStream::give_up() {
  ++damaged_;
  part_ = Part::kNothing;
}

// What is behind the picture moves to new memory, the picture keeps its own.
JpegStream::Picture JpegStream::cut() {
  std::vector<std::uint8_t> rest(bytes_.begin() + static_cast<std::ptrdiff_t>(at_),
                                 bytes_.begin() + static_cast<std::ptrdiff_t>(used_));
  bytes_.resize(at_);
  bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(start_));
  auto picture = std::make_shared<const std::vector<std::uint8_t>>(std::move(bytes_));
  used_ = rest.size();
  bytes_ = std::move(rest);
  start_ = at_ = 0;
  part_ = Part::kNothing;
  whole_ = false;
  return picture;
}

}  // namespace fvlm::capture
