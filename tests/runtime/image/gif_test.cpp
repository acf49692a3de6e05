// GIF's first frame, as Pillow has it: palettes, transparency, frames that do not fit their screen,
// and data that ends early or is damaged.
#include <gtest/gtest.h>

#include <random>

#include "runtime/image/formats.hpp"
#include "tests/runtime/image/samples.hpp"

namespace fvlm {
namespace {

std::string gif_error(std::span<const std::byte> bytes, const ImageOptions& options = {}) {
  return error_or_nothing([&] { read_rows(*image_formats::open_gif(bytes, "picture", options)); });
}

ByteVector gif(const std::string& name) {
  return read_bytes(sample_path(name));
}

TEST(Gif, SamplesEqualPillow) {
  const std::vector<ImageSample> samples = image_samples(".gif");
  ASSERT_GE(samples.size(), 20U);
  for (const ImageSample& sample : samples) {
    const ByteVector bytes = gif(sample.name);
    if (sample.expected == "truncated") {
      EXPECT_EQ(gif_error(bytes), "picture: truncated GIF (the data ends early)") << sample.name;
      continue;
    }
    const auto reader = image_formats::open_gif(bytes, "picture", {});
    EXPECT_EQ(reader->info().width, sample.width) << sample.name;
    EXPECT_EQ(reader->info().height, sample.height) << sample.name;
    EXPECT_EQ(reader->info().orientation, 1) << sample.name;
    EXPECT_EQ(read_rows(*reader), gif(sample.name + ".rgb")) << sample.name;
  }
}

TEST(Gif, TransparentPixelsShowTheBackground) {
  const ByteVector bytes = gif("transparent.gif");
  const ByteVector on_white = gif("transparent.gif.rgb");
  const ByteVector on_green =
      read_rows(*image_formats::open_gif(bytes, "picture", {.background = {1, 200, 3}}));
  const auto color = [](const ByteVector& rgb, std::size_t i) {
    return std::array{std::to_integer<int>(rgb[i]), std::to_integer<int>(rgb[i + 1]),
                      std::to_integer<int>(rgb[i + 2])};
  };
  int shown = 0;
  for (std::size_t i = 0; i < on_white.size(); i += 3) {
    if (color(on_green, i) == std::array{1, 200, 3}) {
      ++shown;
      EXPECT_EQ(color(on_white, i), (std::array{255, 255, 255}));
    } else {
      EXPECT_EQ(color(on_green, i), color(on_white, i));
    }
  }
  EXPECT_GT(shown, 0);
}

TEST(Gif, OnlyInterlacedFramesAreHeld) {
  EXPECT_EQ(image_formats::open_gif(gif("plain.gif"), "picture", {})->info().memory, 0U);
  const ByteVector bytes = gif("interlaced.gif");
  EXPECT_EQ(image_formats::open_gif(bytes, "picture", {})->info().memory, 27U * 20U);
  EXPECT_EQ(gif_error(bytes, {.max_memory = 540}), "");
  EXPECT_TRUE(gif_error(bytes, {.max_memory = 539}).starts_with("picture: 27x20 pixels of this "));
}

TEST(Gif, SizesAreLimited) {
  EXPECT_EQ(gif_error(gif("plain.gif"), {.max_pixels = 540}), "");
  EXPECT_EQ(gif_error(gif("plain.gif"), {.max_pixels = 539}),
            "picture: 27x20 pixels, at most 539 in all are accepted (--max-image-pixels)");
  ByteVector bytes = gif("plain.gif");
  for (std::size_t i = 6; i < 10; ++i) bytes[i] = std::byte{0xff};  // the screen
  EXPECT_EQ(gif_error(bytes),
            "picture: 65535x65535 pixels, at most 268435456 in all are accepted "
            "(--max-image-pixels)");
  // A frame that enlarges it counts too.
  EXPECT_EQ(gif_error(gif("beyond_screen.gif"), {.max_pixels = 600}),
            "picture: 30x22 pixels, at most 600 in all are accepted (--max-image-pixels)");
}

// Bytes that are missing behind the pixels, the terminator and the trailer, harm nobody.
TEST(Gif, CutsAreNoticed) {
  for (const char* const name : {"plain.gif", "interlaced.gif", "local_palette.gif"}) {
    const ByteVector bytes = gif(name);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      const ByteVector cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
      ASSERT_EQ(gif_error(cut),
                size + 2 < bytes.size() ? "picture: truncated GIF (the data ends early)" : "")
          << name << " " << size;
    }
  }
}

TEST(Gif, BytesBetweenBlocksAreSkipped) {
  const ByteVector bytes = gif("transparent.gif");
  ByteVector padded = bytes;
  padded.insert(padded.begin() + 13 + 32 * 3, 5, std::byte{0});  // behind the palette
  EXPECT_EQ(read_rows(*image_formats::open_gif(padded, "picture", {})), gif("transparent.gif.rgb"));
}

TEST(Gif, FilesWithoutAFrame) {
  ByteVector bytes = gif("plain.gif");
  bytes.resize(13 + 32 * 3);
  bytes.push_back(std::byte{';'});
  EXPECT_EQ(gif_error(bytes), "picture: cannot decode this GIF (no frame)");
  bytes = gif("plain.gif");
  bytes[13 + 32 * 3 + 5] = std::byte{0};  // the frame's width
  EXPECT_EQ(gif_error(bytes), "picture: cannot decode this GIF (an empty frame)");
}

TEST(Gif, DamageNeverCrashes) {
  std::mt19937 random(3);
  for (const ImageSample& sample : image_samples(".gif")) {
    const ByteVector bytes = gif(sample.name);
    for (int round = 0; round < 200; ++round) {
      ByteVector damaged = bytes;
      for (std::uint32_t flips = random() % 4 + 1; flips > 0; --flips) {
        damaged[random() % damaged.size()] ^= static_cast<std::byte>(1 + random() % 255);
      }
      const std::string error = gif_error(damaged, {.max_pixels = 1 << 16});
      ASSERT_TRUE(error.empty() || error.starts_with("picture: ")) << error;
    }
  }
}

}  // namespace
}  // namespace fvlm
