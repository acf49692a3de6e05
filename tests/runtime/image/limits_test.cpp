// What a picture may cost, before it is decoded.
#include "runtime/image/limits.hpp"

#include <gtest/gtest.h>

#include "tests/runtime/image/samples.hpp"

namespace fvlm {
namespace {

std::string size_error(const ImageInfo& info, const ImageOptions& options = {}) {
  return error_or_nothing([&] { image_formats::check_size(info, "picture", options); });
}

TEST(ImageLimits, OrdinaryPhotosAndScansFit) {
  EXPECT_EQ(size_error({8160, 6144}), "");
  EXPECT_EQ(size_error({20000, 10000}), "");
  EXPECT_EQ(size_error({1'000'000, 268}), "");
  EXPECT_EQ(size_error({16384, 16384}), "");
}

TEST(ImageLimits, PixelsAreCounted) {
  EXPECT_EQ(size_error({16384, 16385}),
            "picture: 16384x16385 pixels, at most 268435456 in all are accepted "
            "(--max-image-pixels)");
  EXPECT_EQ(size_error({10, 10}, {.max_pixels = 100}), "");
  EXPECT_EQ(size_error({101, 1}, {.max_pixels = 100}),
            "picture: 101x1 pixels, at most 100 in all are accepted (--max-image-pixels)");
}

TEST(ImageLimits, SizesCannotOverflow) {
  const ImageOptions generous = {.max_pixels = std::int64_t{1} << 62};
  EXPECT_EQ(size_error({1'000'000, 1'000'000}, generous), "");
  EXPECT_EQ(size_error({std::int64_t{1} << 32, std::int64_t{1} << 32}, generous),
            "picture: 4294967296x4294967296 pixels, at most 1000000 a side are accepted");
  EXPECT_EQ(size_error({1, 1'000'001}),
            "picture: 1x1000001 pixels, at most 1000000 a side are accepted");
  for (const auto& [width, height] : {std::pair{0, 5}, {5, 0}, {-1, 5}}) {
    EXPECT_NE(size_error({width, height}).find("nothing to see"), std::string::npos);
  }
}

TEST(ImageLimits, MemoryIsKnownBefore) {
  EXPECT_EQ(size_error({100, 100, 1, 1000}, {.max_memory = 1000}), "");
  EXPECT_EQ(size_error({9000, 9000, 1, (700 << 20) + 1}, {.max_memory = 500 << 20}),
            "picture: 9000x9000 pixels of this kind of file take 701 MB to decode, at most 500 MB "
            "are accepted (--max-image-memory); or save it as a baseline JPEG or a PNG that is not "
            "interlaced");
}

}  // namespace
}  // namespace fvlm
