// CRC-32 (ISO 3309, as in zip archives) by zlib.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace fvlm {

// Goes on from the checksum of the bytes before.
std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t before = 0);

// Eight hex digits.
std::string crc32_digits(std::uint32_t sum);
inline std::string crc32_digits(std::span<const std::byte> bytes) {
  return crc32_digits(crc32(bytes));
}
// What stands where a checksum is not known yet.
inline constexpr std::string_view kNoSum = "00000000";

}  // namespace fvlm
