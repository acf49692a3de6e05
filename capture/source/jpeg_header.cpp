#include "capture/source/jpeg_header.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "capture/source/jpeg_markers.hpp"
#include "capture/source/jpeg_orientation.hpp"

namespace fvlm::capture {
namespace {

// The luminance table of annex K.1 adds up to this.
constexpr int kSumAtQuality50 = 3693;

int be16(const std::uint8_t* at) {
  return at[0] << 8 | at[1];
}

// libjpeg multiplies the table by 50/quality below 50, and by 2 - quality/50 above.
int quality_of_sum(int sum) {
  const double scale = static_cast<double>(sum) / kSumAtQuality50;
  const double quality = scale >= 1 ? 50 / scale : 100 - 50 * scale;
  return std::clamp(static_cast<int>(std::lround(quality)), 1, 100);
}

class Reader {
 public:
  explicit Reader(Bytes bytes) : begin_(bytes.data), at_(begin_), end_(begin_ + bytes.size) {}

  std::optional<JpegHeader> read() {
    if (end_ - at_ < 4 || at_[0] != 0xFF || at_[1] != kSoi) return std::nullopt;
    at_ += 2;
    while (true) {
      if (end_ - at_ < 2 || at_[0] != 0xFF) return std::nullopt;
      const std::uint8_t* const marker_at = at_;
      const std::uint8_t marker = at_[1];
      if (marker == 0xFF) {  // fill
        ++at_;
        continue;
      }
      at_ += 2;
      if (marker == kEoi) return finish();
      if (end_ - at_ < 2) return std::nullopt;
      const int length = be16(at_);
      if (length < 2 || end_ - at_ < length) return std::nullopt;
      if (!take_segment(marker, marker_at, at_ + 2, static_cast<std::size_t>(length - 2))) {
        return std::nullopt;
      }
      at_ += length;
      if (marker == kSos && !skip_scan()) return std::nullopt;
    }
  }

 private:
  bool take_segment(std::uint8_t marker, const std::uint8_t* marker_at, const std::uint8_t* body,
                    std::size_t size) {
    switch (marker) {
      case kSoi:
        return false;
      case kDht:
        has_tables_ = true;
        return true;
      case kApp1:
        if (header_.orientation == 1) header_.orientation = exif_orientation({body, size});
        return true;
      case kDqt:
        return take_quantisation(body, size);
      case kSos:
        if (header_.width == 0 || !has_quantisation_) return false;
        if (!has_tables_ && header_.tables_belong_at == 0) {
          header_.tables_belong_at = static_cast<std::size_t>(marker_at - begin_);
        }
        return true;
      default:
        break;
    }
    if (marker < kSof0 || marker > kSof2) return true;
    if (size < 6) return false;
    header_.height = be16(body + 1);
    header_.width = be16(body + 3);
    return header_.width > 0 && header_.height > 0;
  }

  // Tables of 64 bytes, or of 128 with 16 bits each, after a byte that says which and whose.
  bool take_quantisation(const std::uint8_t* body, std::size_t size) {
    while (size > 0) {
      const bool wide = body[0] >> 4 != 0;
      const std::size_t table = wide ? 128 : 64;
      if (size < 1 + table) return false;
      if ((body[0] & 15) == 0) {
        int sum = 0;
        for (std::size_t i = 0; i < 64; ++i) sum += wide ? be16(body + 1 + 2 * i) : body[1 + i];
        header_.quality = quality_of_sum(sum);
      }
      has_quantisation_ = true;
      body += 1 + table;
      size -= 1 + table;
    }
    return true;
  }

  // To the marker that ends the scan's data.
  bool skip_scan() {
    while (true) {
      const auto* found = static_cast<const std::uint8_t*>(
          std::memchr(at_, 0xFF, static_cast<std::size_t>(end_ - at_)));
      if (found == nullptr || end_ - found < 2) return false;
      at_ = found;
      const std::uint8_t next = found[1];
      const bool data = next == 0 || (next >= kRst0 && next <= kRst7);
      if (!data && next != 0xFF) return true;
      at_ += next == 0xFF ? 1 : 2;
    }
  }

  std::optional<JpegHeader> finish() {
    if (header_.width == 0 || !has_quantisation_) return std::nullopt;
    header_.size = static_cast<std::size_t>(at_ - begin_);
    return header_;
  }

  const std::uint8_t* begin_;
  const std::uint8_t* at_;
  const std::uint8_t* end_;
  bool has_tables_ = false;
  bool has_quantisation_ = false;
  JpegHeader header_{};
};

}  // namespace

std::optional<JpegHeader> read_jpeg_header(Bytes bytes) {
  return Reader(bytes).read();
}

}  // namespace fvlm::capture
