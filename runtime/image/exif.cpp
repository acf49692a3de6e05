// A directory is a count and entries of 12 bytes: tag, type, count of values, and the values, or
// where they lie if they take more than 4 bytes. Every read is checked against the block's end.
#include "runtime/image/exif.hpp"

#include <array>
#include <bit>
#include <bitset>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

namespace fvlm {
namespace {

using namespace std::string_view_literals;

constexpr std::uint64_t kOrientation = 0x112;

enum Type : std::uint64_t {
  kShort = 3,
  kLong = 4,
  kRational = 5,
  kSignedByte = 6,
  kSignedShort = 8,
  kSignedLong = 9,
  kSignedRational = 10,
  kFloat = 11,
  kDouble = 12,
  kIfd = 13,
  kLong8 = 16,
};

// Bytes that a value of each type takes, 0 for types that do not exist.
constexpr std::array<std::uint64_t, 17> kTypeSizes = {0, 1, 1, 2, 4, 8, 1, 1, 2,
                                                      4, 8, 4, 8, 4, 0, 0, 8};

class TiffBlock {
 public:
  explicit TiffBlock(std::span<const std::byte> bytes) : bytes_(bytes) {}

  int orientation() {
    // Some programs write the magic number in the other order than all the rest.
    if (starts_with("II*\0"sv) || starts_with("II\0*"sv)) {
      is_big_endian_ = false;
    } else if (!starts_with("MM\0*"sv) && !starts_with("MM*\0"sv)) {
      return 1;
    }
    if (!holds(4, 4)) return 1;
    const std::optional<double> value = find(unsigned_at(4, 4));
    for (int orientation = 2; orientation <= 8; ++orientation) {
      if (value == orientation) return orientation;
    }
    return 1;
  }

 private:
  // The first value of the first entry that is the orientation, if that is a number.
  std::optional<double> find(std::uint64_t directory) const {
    if (!holds(directory, 2)) return {};
    const std::uint64_t end = directory + 2 + 12 * unsigned_at(directory, 2);
    std::bitset<1 << 16> found;  // of a tag the first entry counts
    std::uint64_t taken = 0;
    for (std::uint64_t entry = directory + 2; entry < end && holds(entry, 12); entry += 12) {
      const std::uint64_t tag = unsigned_at(entry, 2);
      const std::uint64_t type = unsigned_at(entry + 2, 2);
      if (found[tag] || type >= kTypeSizes.size()) continue;
      const std::uint64_t size = unsigned_at(entry + 4, 4) * kTypeSizes[type];
      std::uint64_t values = entry + 8;
      if (size > 4) {
        taken += size;
        if (taken > bytes_.size()) continue;
        values = unsigned_at(entry + 8, 4);
        if (!holds(values, size)) return {};
      }
      if (size > 0 && tag == kOrientation) return number_at(values, type);
      found[tag] = size > 0;
    }
    return {};
  }

  std::optional<double> number_at(std::uint64_t at, std::uint64_t type) const {
    switch (type) {
      case kShort:
      case kLong:
      case kIfd:
      case kLong8:
        return static_cast<double>(unsigned_at(at, kTypeSizes[type]));
      case kSignedByte:
      case kSignedShort:
      case kSignedLong:
        return signed_at(at, kTypeSizes[type]);
      case kRational:
        return static_cast<double>(unsigned_at(at, 4)) /
               static_cast<double>(unsigned_at(at + 4, 4));
      case kSignedRational:
        return signed_at(at, 4) / signed_at(at + 4, 4);
      case kFloat:
        return std::bit_cast<float>(static_cast<std::uint32_t>(unsigned_at(at, 4)));
      case kDouble:
        return std::bit_cast<double>(unsigned_at(at, 8));
      default:
        return {};
    }
  }

  bool starts_with(std::string_view text) const {
    return bytes_.size() >= text.size() &&
           std::memcmp(bytes_.data(), text.data(), text.size()) == 0;
  }

  bool holds(std::uint64_t at, std::uint64_t size) const {
    return at <= bytes_.size() && size <= bytes_.size() - at;
  }

  std::uint64_t unsigned_at(std::uint64_t at, std::uint64_t size) const {
    std::uint64_t value = 0;
    for (std::uint64_t i = 0; i < size; ++i) {
      const std::uint64_t next = is_big_endian_ ? at + i : at + size - 1 - i;
      value = value << 8 | std::to_integer<std::uint64_t>(bytes_[next]);
    }
    return value;
  }

  double signed_at(std::uint64_t at, std::uint64_t size) const {
    const std::uint64_t unused = 64 - 8 * size;
    const auto shifted = static_cast<std::int64_t>(unsigned_at(at, size) << unused);
    return static_cast<double>(shifted >> unused);
  }

  std::span<const std::byte> bytes_;
  bool is_big_endian_ = true;
};

}  // namespace

int exif_orientation(std::span<const std::byte> tiff) {
  static constexpr std::string_view kPrefix = "Exif\0\0"sv;
  for (int i = 0; i < 2; ++i) {  // some programs write it twice
    if (tiff.size() < kPrefix.size() ||
        std::memcmp(tiff.data(), kPrefix.data(), kPrefix.size()) != 0) {
      break;
    }
    tiff = tiff.subspan(kPrefix.size());
  }
  return TiffBlock(tiff).orientation();
}

}  // namespace fvlm
