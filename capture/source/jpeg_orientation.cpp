// The segment is a TIFF file without pixels after "Exif\0\0". Its first directory is a count and
// entries of 12 bytes: tag, type, count of values, and the value, at the beginning of 4 bytes.
#include "capture/source/jpeg_orientation.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace fvlm::capture {
namespace {

constexpr std::array<std::uint8_t, 6> kPrefix = {'E', 'x', 'i', 'f', 0, 0};
constexpr std::size_t kEntryBytes = 12;
constexpr std::uint32_t kOrientation = 0x0112;
constexpr std::uint32_t kShort = 3;

struct Tiff {
  Bytes bytes;
  bool big_endian;

  bool holds(std::size_t at, std::size_t size) const {
    return at <= bytes.size && size <= bytes.size - at;
  }
  std::uint32_t number(std::size_t at, std::size_t size) const {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < size; ++i) {
      value = value << 8 | bytes.data[big_endian ? at + i : at + size - 1 - i];
    }
    return value;
  }
};

}  // namespace

int exif_orientation(Bytes segment) {
  if (segment.size < kPrefix.size() + 8 ||
      std::memcmp(segment.data, kPrefix.data(), kPrefix.size()) != 0) {
    return 1;
  }
  const Tiff tiff{{segment.data + kPrefix.size(), segment.size - kPrefix.size()},
                  segment.data[kPrefix.size()] == 'M'};
  const std::size_t directory = tiff.number(4, 4);
  if (!tiff.holds(directory, 2)) return 1;
  const std::size_t count = tiff.number(directory, 2);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t entry = directory + 2 + i * kEntryBytes;
    if (!tiff.holds(entry, kEntryBytes)) return 1;
    if (tiff.number(entry, 2) != kOrientation) continue;
    const std::uint32_t value = tiff.number(entry + 8, tiff.number(entry + 2, 2) == kShort ? 2 : 4);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

Transform upright(int orientation) {
  Transform transform;
  if (orientation == 3 || orientation == 4) transform.rotate = 180;
  if (orientation == 5 || orientation == 6) transform.rotate = 90;
  if (orientation == 7 || orientation == 8) transform.rotate = 270;
  transform.flip_horizontal =
      orientation == 2 || orientation == 4 || orientation == 5 || orientation == 7;
  return transform;
}

}  // namespace fvlm::capture
