// Padding and resizing: hashes of what Pillow makes of the same pictures.
//
// The hashes were recorded with Pillow 13: paste at ((side - width) // 2, (side - height) // 2) on
// a black RGB square, then `resize((size, size), Image.BICUBIC)`. Those of the golden pictures are
// the hashes of `NAME.pixels` * 255 in their expected.safetensors.
#include "runtime/image_processor.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <vector>

// Says which instruction sets Highway compiles for, so it comes first.
#include "kernels/cpu/simd_targets.hpp"

#include <hwy/highway.h>

#include "kernels/cuda/cuda.hpp"

namespace fvlm {
namespace {

// FNV-1a, 64 bits.
std::uint64_t hash(const std::vector<std::uint8_t>& bytes) {
  std::uint64_t value = 0xcbf29ce484222325;
  for (const std::uint8_t byte : bytes) value = (value ^ byte) * 0x100000001b3;
  return value;
}

// Noise: the high bytes of a linear congruential generator.
Image make_noise(std::int64_t width, std::int64_t height) {
  Image image = {width, height, {}};
  image.rgb.resize(static_cast<std::size_t>(width * height * 3));
  auto state = static_cast<std::uint32_t>(width * 65536 + height);
  for (std::uint8_t& byte : image.rgb) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<std::uint8_t>(state >> 24);
  }
  return image;
}

std::vector<std::uint8_t> resized(const Image& image, std::int64_t size) {
  std::vector<std::uint8_t> out(static_cast<std::size_t>(size * size * 3), 0xaa);
  pad_and_resize(image, size, 2, out);
  return out;
}

struct Case {
  std::int64_t width;
  std::int64_t height;
  std::int64_t size;
  std::uint64_t hash;
};

constexpr Case kCases[] = {
    {1, 1, 5, 0x8a97b2a0fe03a073},       {1, 7, 3, 0xcaf7a84b7108dda9},
    {7, 1, 16, 0xafbbbef53bb4485d},      {2, 2, 64, 0x5aa2f3a54307f17f},
    {9, 8, 1, 0x1a02a61921c5ea35},       {50, 61, 50, 0x9f22f97c39e92ffc},
    {61, 50, 61, 0x07f63b0d01d5d264},    {200, 200, 199, 0xf15e0877ebd35390},
    {199, 200, 201, 0xceeaf72a65e24263}, {333, 120, 128, 0x58d2c2e16cc93e24},
    {97, 401, 96, 0x9cd24990bbe5b168},   {640, 480, 336, 0xadf5de5b0632b79a},
    {1000, 37, 128, 0x015c6bbbbcea7e05}, {38, 1001, 101, 0xfca4fb786294a8ad},
    {8192, 3, 64, 0x0737554deb22e525},   {3, 8192, 2, 0x5467b0da1d106495},
    {320, 240, 512, 0x2f4b3a987fb595d2},
};

// Every instruction set this machine has, and the plain code.
TEST(PadAndResize, EqualsPillowOnEveryTarget) {
  std::vector<std::int64_t> targets;
  for (std::int64_t left = hwy::SupportedTargets() & HWY_TARGETS; left != 0; left &= left - 1) {
    targets.push_back(left & -left);
  }
  for (const std::int64_t target : targets) {
    hwy::SetSupportedTargetsForTest(target);
    for (const Case& c : kCases) {
      EXPECT_EQ(hash(resized(make_noise(c.width, c.height), c.size)), c.hash)
          << hwy::TargetName(target) << ": " << c.width << "x" << c.height << " to " << c.size;
    }
  }
  hwy::SetSupportedTargetsForTest(0);
}

TEST(PadAndResize, TheCudaBackendEqualsPillow) {
  CudaBackend<Target::kEmulated, float> backend(WeightFormat::kF32);
  for (const Case& c : kCases) {
    std::vector<std::uint8_t> out(static_cast<std::size_t>(c.size * c.size * 3), 0xaa);
    pad_and_resize(backend, make_noise(c.width, c.height), c.size, 1, out);
    EXPECT_EQ(hash(out), c.hash) << c.width << "x" << c.height << " to " << c.size;
  }
}

TEST(PadAndResize, ClipsLikePillow) {
  Image image = make_noise(150, 100);
  for (std::uint8_t& byte : image.rgb) byte = byte > 127 ? 255 : 0;
  EXPECT_EQ(hash(resized(image, 64)), 0x49aecc99ee336ee8);
  EXPECT_EQ(hash(resized(image, 400)), 0x782106832a71a5f5);
}

TEST(PadAndResize, EqualsTheGoldenPixels) {
  const auto golden = [](const std::string& name) {
    return load_image(std::string(FVLM_TEST_DATA) + "/golden/tiny/images/" + name);
  };
  EXPECT_EQ(hash(resized(golden("wide.png"), 256)), 0xfa22491be2431aa9);
  EXPECT_EQ(hash(resized(golden("tall.png"), 256)), 0x2e848d8a42314e13);
  EXPECT_EQ(hash(resized(golden("small.png"), 256)), 0x1b451a852a7b4d9e);
  EXPECT_EQ(hash(resized(golden("exact.png"), 256)), 0x08eaf8230e30fc1f);
}

TEST(PadAndResize, CopiesASquareOfTheRightSize) {
  const Image image = make_noise(40, 40);
  EXPECT_EQ(resized(image, 40), image.rgb);
}

TEST(PadAndResize, CentresOnBlack) {
  const Image white = {5, 2, std::vector<std::uint8_t>(5 * 2 * 3, 255)};
  const std::vector<std::uint8_t> out = resized(white, 5);
  for (std::size_t y = 0; y < 5; ++y) {
    const bool inside = y == 1 || y == 2;  // three rows left over: one above, two below
    for (std::size_t i = 0; i < 15; ++i) EXPECT_EQ(out[y * 15 + i], inside ? 255 : 0) << y;
  }
}

}  // namespace
}  // namespace fvlm
