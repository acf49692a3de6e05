// Resizing: hashes of what Pillow makes of the same pictures, and every way to hold a camera.
//
// The hashes of squares were recorded with Pillow 13: paste at ((side - width) // 2, (side -
// height) // 2) on a black RGB square, then `resize((size, size), Image.BICUBIC)`. Those of crops:
// width and then height resized so that the shorter side is `shorter`, then the centre cut out.
// Those of the golden pictures are the hashes of `NAME.pixels` * 255 in their expected.safetensors.
#include "runtime/image/fit.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

// Says which instruction sets Highway compiles for, so it comes first.
#include "kernels/cpu/simd/targets.hpp"

#include <hwy/highway.h>

#include "fvlm/image.hpp"

namespace fvlm {
namespace {

using Square = std::vector<std::uint8_t>;

// FNV-1a, 64 bits.
std::uint64_t hash(const Square& bytes) {
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

// Gives the rows of a picture and says how it was held.
class HeldPicture final : public ImageReader {
 public:
  HeldPicture(const Image& stored, int orientation) : reader_(open_pixels(stored)) {
    info_ = reader_->info();
    info_.orientation = orientation;
  }
  void read_row(std::uint8_t* rgb) override { reader_->read_row(rgb); }

 private:
  std::unique_ptr<ImageReader> reader_;
};

Square fitted(const Image& image, std::int64_t size, const Preprocessing& fit = {},
              int orientation = 1) {
  Square out(static_cast<std::size_t>(size * size * 3), 0xaa);
  HeldPicture reader(image, orientation);
  fit_image(reader, fit, size, out);
  return out;
}

Preprocessing crop(std::int64_t shorter_side, Preprocessing::Filter filter) {
  return {Preprocessing::Shape::kCrop, filter, shorter_side};
}

struct PadCase {
  std::int64_t width;
  std::int64_t height;
  std::int64_t size;
  std::uint64_t hash;
};

constexpr PadCase kPadCases[] = {
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

struct CropCase {
  std::int64_t width;
  std::int64_t height;
  std::int64_t size;
  std::int64_t shorter;
  std::uint64_t bicubic;
  std::uint64_t bilinear;
};

constexpr CropCase kCropCases[] = {
    {1, 1, 5, 5, 0x8a97b2a0fe03a073, 0x8a97b2a0fe03a073},
    {7, 5, 3, 3, 0x521797593c45d291, 0xd669472115175633},
    {2, 2, 64, 64, 0x5aa2f3a54307f17f, 0x011ed26484e533c9},
    {61, 50, 61, 61, 0x2f05944c42bf3f33, 0x0953e1d1622c5c2c},
    {50, 61, 61, 61, 0x8b0941c3d03de24a, 0x82ee6d7cbc06730f},
    {333, 120, 128, 128, 0xb7365f592c929db2, 0xd04986d6f42a961f},
    {97, 401, 96, 96, 0xd80ece965d26f3db, 0x80ff12c284fca596},
    {640, 480, 336, 336, 0x697a9e49cc5b3733, 0x3d38579054457f76},
    {100, 80, 64, 80, 0x8baa67c2ffd40e72, 0x8baa67c2ffd40e72},
    {80, 100, 64, 80, 0x8a4eb07f7f11b9bc, 0x8a4eb07f7f11b9bc},
    {90, 70, 64, 48, 0x532b027bc23ad5f7, 0xd7036690a3d3c728},
    {1000, 37, 128, 128, 0x96a1d3b724d23204, 0x44a9b4939d3ae42e},
    {37, 1000, 33, 33, 0xa38e92a69f8f9b2a, 0xe159afabc0c1dd77},
};

// Every instruction set this machine has, and the plain code.
template <class Work>
void on_every_target(const Work& work) {
  for (std::int64_t left = hwy::SupportedTargets() & HWY_TARGETS; left != 0; left &= left - 1) {
    const std::int64_t target = left & -left;
    hwy::SetSupportedTargetsForTest(target);
    SCOPED_TRACE(hwy::TargetName(target));
    work();
  }
  hwy::SetSupportedTargetsForTest(0);
}

TEST(ImageFit, PaddedSquaresEqualPillowOnEveryTarget) {
  on_every_target([] {
    for (const PadCase& c : kPadCases) {
      EXPECT_EQ(hash(fitted(make_noise(c.width, c.height), c.size)), c.hash)
          << c.width << "x" << c.height << " to " << c.size;
    }
  });
}

TEST(ImageFit, CropsEqualPillowOnEveryTarget) {
  using Filter = Preprocessing::Filter;
  on_every_target([] {
    for (const CropCase& c : kCropCases) {
      const Image image = make_noise(c.width, c.height);
      EXPECT_EQ(hash(fitted(image, c.size, crop(c.shorter, Filter::kBicubic))), c.bicubic)
          << c.width << "x" << c.height << " to " << c.size;
      EXPECT_EQ(hash(fitted(image, c.size, crop(c.shorter, Filter::kBilinear))), c.bilinear)
          << c.width << "x" << c.height << " to " << c.size;
    }
  });
}

// How a camera that was held this way stores the upright picture (EXIF 2.3, Orientation).
Image stored(const Image& upright, int orientation) {
  const bool lies = orientation >= 5;
  Image image{lies ? upright.height : upright.width, lies ? upright.width : upright.height, {}};
  for (std::int64_t y = 0; y < image.height; ++y) {
    for (std::int64_t x = 0; x < image.width; ++x) {
      const std::int64_t right = image.width - 1 - x;
      const std::int64_t down = image.height - 1 - y;
      const auto at = [&](std::int64_t upright_x, std::int64_t upright_y) {
        return upright.rgb.begin() + (upright_y * upright.width + upright_x) * 3;
      };
      const auto pixel = orientation == 1   ? at(x, y)
                         : orientation == 2 ? at(right, y)
                         : orientation == 3 ? at(right, down)
                         : orientation == 4 ? at(x, down)
                         : orientation == 5 ? at(y, x)
                         : orientation == 6 ? at(down, x)
                         : orientation == 7 ? at(down, right)
                                            : at(y, right);
      image.rgb.insert(image.rgb.end(), pixel, pixel + 3);
    }
  }
  return image;
}

TEST(ImageFit, HowTheCameraWasHeldDoesNotShow) {
  const Preprocessing fits[] = {{}, crop(48, Preprocessing::Filter::kBicubic)};
  for (const auto& [width, height] : {std::pair(57, 40), {40, 57}, {1, 9}, {230, 31}}) {
    const Image upright = make_noise(width, height);
    for (const Preprocessing& fit : fits) {
      const Square expected = fitted(upright, 48, fit);
      for (int orientation = 1; orientation <= 8; ++orientation) {
        EXPECT_EQ(fitted(stored(upright, orientation), 48, fit, orientation), expected)
            << width << "x" << height << ", orientation " << orientation;
      }
    }
  }
}

TEST(ImageFit, ClipsLikePillow) {
  Image image = make_noise(150, 100);
  for (std::uint8_t& byte : image.rgb) byte = byte > 127 ? 255 : 0;
  EXPECT_EQ(hash(fitted(image, 64)), 0x49aecc99ee336ee8);
  EXPECT_EQ(hash(fitted(image, 400)), 0x782106832a71a5f5);
}

TEST(ImageFit, EqualsTheGoldenPixels) {
  const auto golden = [](const std::string& name) {
    const std::string file = std::string(FVLM_TEST_DATA) + "/golden/tiny/images/" + name;
    return read_whole(*open_image(read_image_file(file), name));
  };
  EXPECT_EQ(hash(fitted(golden("wide.png"), 256)), 0xfa22491be2431aa9);
  EXPECT_EQ(hash(fitted(golden("tall.png"), 256)), 0x2e848d8a42314e13);
  EXPECT_EQ(hash(fitted(golden("small.png"), 256)), 0x1b451a852a7b4d9e);
  EXPECT_EQ(hash(fitted(golden("exact.png"), 256)), 0x08eaf8230e30fc1f);
}

TEST(ImageFit, ASquareOfTheRightSizeStays) {
  const Image image = make_noise(40, 40);
  EXPECT_EQ(fitted(image, 40), image.rgb);
}

TEST(ImageFit, CentresOnBlackAndSaysWhere) {
  const Image white = {5, 2, std::vector<std::uint8_t>(5 * 2 * 3, 255)};
  const Square out = fitted(white, 5);
  for (std::size_t y = 0; y < 5; ++y) {
    const bool inside = y == 1 || y == 2;  // three rows left over: one above, two below
    for (std::size_t i = 0; i < 15; ++i) EXPECT_EQ(out[y * 15 + i], inside ? 255 : 0) << y;
  }
  Square square(5 * 5 * 3);
  const ShownPart shown = fit_image(*open_pixels(white), {}, 5, square);
  EXPECT_EQ(shown.left, 0);
  EXPECT_EQ(shown.top, 1);
  EXPECT_EQ(shown.width, 5);
  EXPECT_EQ(shown.height, 2);
}

}  // namespace
}  // namespace fvlm
