// What is done to pictures before anybody sees them, on the values of pixels.
#include "capture/source/transform.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "capture/encoder.hpp"
#include "capture/source/pattern_source.hpp"
#include "capture/source/source.hpp"
#include "tests/capture/jpeg.hpp"
#include "tests/capture/pattern_jpeg.hpp"

namespace fvlm::capture {
namespace {

using Pixel = std::array<int, 3>;

Pixel at(const DecodedJpeg& picture, int x, int y) {
  const std::size_t from = static_cast<std::size_t>(y * picture.width + x) *
                           static_cast<std::size_t>(picture.components);
  if (picture.components == 1) return {picture.samples[from], 128, 128};
  return {picture.samples[from], picture.samples[from + 1], picture.samples[from + 2]};
}

bool near(const Pixel& a, const Pixel& b) {
  return std::abs(a[0] - b[0]) < 12 && std::abs(a[1] - b[1]) < 12 && std::abs(a[2] - b[2]) < 12;
}

class TransformTest : public testing::TestWithParam<PixelFormat> {
 protected:
  // The test pattern, 640x480, once as it is and once with the transform.
  DecodedJpeg encode(const Transform& transform, int width = 640) {
    Encoder encoder({width, 95, 100, transform}, counters);
    PatternSource source(GetParam(), 640, 1000);
    return decode_jpeg(joined(encoder.encode(*source.next(std::chrono::milliseconds(100)))));
  }
  // Whether (x, y) of the one shows what from(x, y) of the other does.
  template <class From>
  void expect_moved(const DecodedJpeg& picture, const DecodedJpeg& plain, From from) {
    int wrong = 0;
    int seen = 0;
    for (int y = 10; y < picture.height; y += 37) {
      for (int x = 14; x < picture.width; x += 41) {
        const auto [px, py] = from(x, y);
        ++seen;
        if (!near(at(picture, x, y), at(plain, px, py))) ++wrong;
      }
    }
    // Edges of the bars may fall on other blocks.
    EXPECT_LE(wrong, seen / 20) << seen;
  }
  Counters counters{};
};

TEST_P(TransformTest, Rotates) {
  const DecodedJpeg plain = encode({});
  const DecodedJpeg quarter = encode({.rotate = 90}, 480);
  ASSERT_EQ(quarter.width, 480);
  ASSERT_EQ(quarter.height, 640);
  expect_moved(quarter, plain, [](int x, int y) { return std::pair(y, 479 - x); });
  const DecodedJpeg half = encode({.rotate = 180});
  expect_moved(half, plain, [](int x, int y) { return std::pair(639 - x, 479 - y); });
  const DecodedJpeg three = encode({.rotate = 270}, 480);
  expect_moved(three, plain, [](int x, int y) { return std::pair(639 - y, x); });
}

TEST_P(TransformTest, Flips) {
  const DecodedJpeg plain = encode({});
  expect_moved(encode({.flip_horizontal = true}), plain,
               [](int x, int y) { return std::pair(639 - x, y); });
  expect_moved(encode({.flip_vertical = true}), plain,
               [](int x, int y) { return std::pair(x, 479 - y); });
}

TEST_P(TransformTest, Crops) {
  const DecodedJpeg plain = encode({});
  for (const char* area : {"160,120,320,240", "0.25,0.25,0.5,0.5"}) {
    const DecodedJpeg part = encode({.crop = parse_area(area)});
    ASSERT_EQ(part.width, 320) << area;
    ASSERT_EQ(part.height, 240) << area;
    expect_moved(part, plain, [](int x, int y) { return std::pair(160 + x, 120 + y); });
  }
  EXPECT_THROW(encode({.crop = parse_area("640,0,10,10")}), TransformError);
}

// All pixels of an area are black. At its edges a decoder mixes the colour with that of the pixels
// beside it.
void expect_black(const DecodedJpeg& picture, const Box& box) {
  int wrong = 0;
  for (int y = box.y; y < box.y + box.height; ++y) {
    for (int x = box.x; x < box.x + box.width; ++x) {
      const bool inside =
          x > box.x + 1 && x < box.x + box.width - 2 && y > box.y + 1 && y < box.y + box.height - 2;
      const auto [luma, blue, red] = at(picture, x, y);
      if (luma > 24 || (inside && (std::abs(blue - 128) > 24 || std::abs(red - 128) > 24))) ++wrong;
    }
  }
  EXPECT_EQ(wrong, 0) << box.x << ',' << box.y;
}

TEST_P(TransformTest, AMaskIsBlackWhateverElseIsDone) {
  const Transform masked{.masks = {parse_area("32,64,96,80"), parse_area("0.5,0.5,0.25,0.25")}};
  const DecodedJpeg plain = encode({});
  const DecodedJpeg picture = encode(masked);
  expect_black(picture, {32, 64, 96, 80});
  expect_black(picture, {320, 240, 160, 120});
  for (const auto& [x, y] : {std::pair(20, 70), {140, 70}, {60, 50}, {60, 160}, {300, 250}}) {
    EXPECT_TRUE(near(at(picture, x, y), at(plain, x, y))) << x << ',' << y;
  }
  Transform turned = masked;
  turned.crop = parse_area("32,0,608,480");
  turned.rotate = 90;
  turned.flip_horizontal = true;
  // (x, y) of the camera goes to (y, x - 32).
  const DecodedJpeg other = encode(turned, 480);
  ASSERT_EQ(other.width, 480);
  expect_black(other, {64, 0, 80, 96});
  expect_black(other, {240, 288, 120, 160});
}

TEST_P(TransformTest, AMaskHidesItsEdgesInASmallerPictureToo) {
  const DecodedJpeg small = encode({.masks = {parse_area("33,67,95,77")}}, 320);
  ASSERT_EQ(small.width, 320);
  expect_black(small, {16, 33, 48, 39});
}

INSTANTIATE_TEST_SUITE_P(All, TransformTest,
                         testing::Values(PixelFormat::kMjpeg, PixelFormat::kYu12,
                                         PixelFormat::kNv12, PixelFormat::kYuyv, PixelFormat::kUyvy,
                                         PixelFormat::kGrey),
                         [](const auto& test) { return name_of(test.param); });

TEST(Transform, OnlyWhatItChangesIsDecoded) {
  const std::string jpeg = pattern_jpeg(640);
  const Frame frame{PixelFormat::kMjpeg,
                    0,
                    0,
                    0,
                    {reinterpret_cast<const std::uint8_t*>(jpeg.data()), jpeg.size()}};
  Counters counters;
  EXPECT_EQ(joined(Encoder({640, 85, 100, {}}, counters).encode(frame)), jpeg);
  EXPECT_EQ(counters.passed.value(), 1U);
  const Transform masked{.masks = {parse_area("0,0,8,8")}};
  EXPECT_NE(joined(Encoder({640, 85, 100, masked}, counters).encode(frame)), jpeg);
  EXPECT_EQ(counters.transformed.value(), 1U);
  EXPECT_EQ(counters.passed.value(), 1U);
}

TEST(Transform, WrongAreasAreNamed) {
  for (const char* text : {"", "1,2,3", "1,2,3,4,5", "a,0,1,1", "0.5,0,1,1", "-1,0,5,5", "0,0,0,5",
                           "0.6,0.0,0.5,0.5", "1,2,3,4 ", "nan,0,1,1"}) {
    EXPECT_THROW(parse_area(text), std::invalid_argument) << text;
  }
  EXPECT_TRUE(parse_area("0.0,0.0,1.0,1.0").in_fractions);
  EXPECT_FALSE(parse_area("0,0,1,1").in_fractions);
}

}  // namespace
}  // namespace fvlm::capture
