// EXIF's orientation: what Pillow's exif_transpose would do, and blocks that lie.
#include "runtime/image/exif.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <string>
#include <vector>

namespace fvlm {
namespace {

using namespace std::string_literals;

// Writes TIFF blocks in either byte order.
struct Tiff {
  bool is_big_endian;
  std::string text = is_big_endian ? "MM\0*"s : "II*\0"s;

  Tiff& number(std::uint64_t value, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) {
      text += static_cast<char>(value >> 8 * (is_big_endian ? size - 1 - i : i));
    }
    return *this;
  }
  Tiff& directory(std::uint64_t entries, std::uint64_t at = 8) {
    return number(at, 4).number(entries, 2);
  }
  Tiff& entry(std::uint64_t tag, std::uint64_t type, std::uint64_t count) {
    return number(tag, 2).number(type, 2).number(count, 4);
  }
  Tiff& orientation(std::uint64_t value) {
    return entry(0x112, 3, 1).number(value, 2).number(0, 2);
  }
};

int orientation_of(const std::string& text) {
  // A copy of its own, so that the address sanitizer sees reads behind the end.
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return exif_orientation(bytes);
}

class Exif : public testing::TestWithParam<bool> {
 protected:
  Tiff tiff() const { return {GetParam()}; }
};
INSTANTIATE_TEST_SUITE_P(ByteOrders, Exif, testing::Bool(), [](const auto& is_big_endian) {
  return is_big_endian.param ? "Big" : "Little";
});

TEST_P(Exif, OrientationsAreRead) {
  for (int value = 0; value < 12; ++value) {
    const std::string block = tiff().directory(1).orientation(static_cast<unsigned>(value)).text;
    const int expected = value >= 1 && value <= 8 ? value : 1;
    EXPECT_EQ(orientation_of(block), expected);
    EXPECT_EQ(orientation_of("Exif\0\0"s + block), expected);
    EXPECT_EQ(orientation_of("Exif\0\0Exif\0\0"s + block), expected);
    EXPECT_EQ(orientation_of("Exif\0\0Exif\0\0Exif\0\0"s + block), 1);
  }
}

TEST_P(Exif, MagicNumberInTheOtherOrder) {
  std::string block = tiff().directory(1).orientation(6).text;
  std::swap(block[2], block[3]);
  EXPECT_EQ(orientation_of(block), 6);
  block[2] = '+';  // BigTIFF
  EXPECT_EQ(orientation_of(block), 1);
}

TEST_P(Exif, TypesAreThoseOfPillow) {
  const auto of_type = [&](std::uint64_t type, std::uint64_t value, std::size_t size) {
    Tiff block = tiff().directory(1).entry(0x112, type, 1);
    if (size > 4) block.number(26, 4).number(0, 4);
    return orientation_of(block.number(value, size).number(0, 8).text);
  };
  EXPECT_EQ(of_type(1, 6, 1), 1);  // bytes are text
  EXPECT_EQ(of_type(2, 6, 1), 1);
  EXPECT_EQ(of_type(3, 6, 2), 6);
  EXPECT_EQ(of_type(4, 6, 4), 6);
  EXPECT_EQ(of_type(6, 6, 1), 6);
  EXPECT_EQ(of_type(6, 0xff, 1), 1);
  EXPECT_EQ(of_type(7, 6, 1), 1);
  EXPECT_EQ(of_type(8, 6, 2), 6);
  EXPECT_EQ(of_type(9, 6, 4), 6);
  EXPECT_EQ(of_type(11, 0x40c00000, 4), 6);
  EXPECT_EQ(of_type(11, 0x40d00000, 4), 1);  // 6.5
  EXPECT_EQ(of_type(12, 0x4018000000000000, 8), 6);
  EXPECT_EQ(of_type(13, 6, 4), 6);
  EXPECT_EQ(of_type(16, 6, 8), 6);
  EXPECT_EQ(of_type(16, 6 + (std::uint64_t{1} << 32), 8), 1);
  EXPECT_EQ(of_type(129, 6, 2), 1);
  for (const std::uint64_t type : {5U, 10U}) {
    const auto fraction = [&](std::uint64_t above, std::uint64_t below) {
      Tiff block = tiff().directory(1).entry(0x112, type, 1).number(26, 4).number(0, 4);
      return orientation_of(block.number(above, 4).number(below, 4).text);
    };
    EXPECT_EQ(fraction(6, 1), 6);
    EXPECT_EQ(fraction(16, 2), 8);
    EXPECT_EQ(fraction(6, 0), 1);
    EXPECT_EQ(fraction(0, 0), 1);
    EXPECT_EQ(fraction(0xfffffffa, 0xffffffff), type == 10 ? 6 : 1);
  }
}

TEST_P(Exif, OfSeveralValuesTheFirstCounts) {
  EXPECT_EQ(orientation_of(tiff().directory(1).entry(0x112, 3, 2).number(8, 2).number(3, 2).text),
            8);
  Tiff far = tiff().directory(1).entry(0x112, 3, 3).number(26, 4).number(0, 4);
  EXPECT_EQ(orientation_of(far.number(5, 2).number(3, 2).number(3, 2).text), 5);
  // Entries without a value or of unknown type do not count, bytes do.
  EXPECT_EQ(orientation_of(tiff().directory(2).entry(0x112, 3, 0).number(3, 4).orientation(6).text),
            6);
  EXPECT_EQ(
      orientation_of(tiff().directory(2).entry(0x112, 99, 1).number(3, 4).orientation(6).text), 6);
  EXPECT_EQ(orientation_of(tiff().directory(2).entry(0x112, 1, 1).number(3, 4).orientation(6).text),
            1);
  EXPECT_EQ(orientation_of(tiff().directory(2).orientation(3).orientation(6).text), 3);
}

TEST_P(Exif, OtherTagsAreSkipped) {
  Tiff block = tiff().directory(3);
  block.entry(0x10f, 2, 6).number(50, 4).entry(0x110, 2, 3).number(0, 4).orientation(7);
  EXPECT_EQ(orientation_of(block.number(0, 4).text + "maker\0"s), 7);
  // A text longer than the whole block is skipped, one that begins in it and ends outside ends it.
  EXPECT_EQ(orientation_of(
                tiff().directory(2).entry(0x10f, 2, 0xffffffff).number(8, 4).orientation(7).text),
            7);
  EXPECT_EQ(
      orientation_of(tiff().directory(2).entry(0x10f, 2, 20).number(30, 4).orientation(7).text), 1);
  // Of a repeated tag only the first entry is looked at.
  Tiff repeated = tiff().directory(3).entry(0x10f, 2, 1).number(0, 4);
  EXPECT_EQ(orientation_of(repeated.entry(0x10f, 2, 20).number(48, 4).orientation(7).text), 7);
  // Only the first directory counts: here it is empty, and the next has the tag.
  EXPECT_EQ(orientation_of(tiff().directory(0).number(14, 4).number(1, 2).orientation(6).text), 1);
}

TEST_P(Exif, EveryCutIsUpright) {
  const std::string block = tiff().directory(1, 12).text.insert(8, 4, 'x');
  const std::string whole = block + tiff().orientation(6).text.substr(4);
  ASSERT_EQ(orientation_of(whole), 6);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(orientation_of(whole.substr(0, size)), 1) << size;
  }
  for (const std::uint64_t at : {std::uint64_t{25}, std::uint64_t{0xffffffff}}) {
    EXPECT_EQ(orientation_of(tiff().directory(1, at).orientation(6).text), 1);
  }
  // More entries than there is room for.
  EXPECT_EQ(orientation_of(tiff().directory(0xffff).orientation(6).text), 6);
}

TEST(Exif, NoBlockIsUpright) {
  EXPECT_EQ(orientation_of(""), 1);
  EXPECT_EQ(orientation_of("Exif\0\0"s), 1);
  EXPECT_EQ(orientation_of("http://ns.adobe.com/xap/1.0/"), 1);
}

}  // namespace
}  // namespace fvlm
