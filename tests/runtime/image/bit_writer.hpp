// Bits as AV1 and HEVC have them, most significant first.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fvlm {

class BitWriter {
 public:
  BitWriter& put(std::uint32_t value, int count) {
    while (count-- > 0) {
      if (used_ % 8 == 0) bytes_.push_back('\0');
      const std::uint32_t bit = (value >> count & 1) << (7 - used_ % 8);
      bytes_.back() = static_cast<char>(static_cast<std::uint32_t>(bytes_.back()) | bit);
      ++used_;
    }
    return *this;
  }
  // Exp-Golomb, HEVC's ue(v).
  BitWriter& number(std::uint32_t value) {
    int bits = 0;
    while (((value + 1) >> (bits + 1)) > 0) ++bits;
    return put(0, bits).put(value + 1, bits + 1);
  }
  // Filled up with zeros.
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
  int used_ = 0;
};

class BitReader {
 public:
  explicit BitReader(std::string_view bytes) : bytes_(bytes) {}
  std::size_t left() const { return bytes_.size() * 8 - at_; }
  std::uint32_t bits(int count) {
    std::uint32_t value = 0;
    for (; count > 0; --count, ++at_) {
      value = value << 1 | (static_cast<std::uint8_t>(bytes_.at(at_ / 8)) >> (7 - at_ % 8) & 1);
    }
    return value;
  }
  std::uint32_t number() {
    int zeros = 0;
    while (bits(1) == 0) ++zeros;
    return (std::uint32_t{1} << zeros) - 1 + bits(zeros);
  }

 private:
  std::string_view bytes_;
  std::size_t at_ = 0;
};

}  // namespace fvlm
