#include "runtime/support/checksum.hpp"

#include <fmt/format.h>
#include <zlib.h>

namespace fvlm {

std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t before) {
  const auto* data = reinterpret_cast<const Bytef*>(bytes.data());
  return static_cast<std::uint32_t>(crc32_z(before, data, bytes.size()));
}

std::string crc32_digits(std::uint32_t sum) {
  return fmt::format("{:08x}", sum);
}

}  // namespace fvlm
