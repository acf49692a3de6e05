// Reading pictures: pixels equal to Pillow's, limits, and every kind of bad file. What is
// particular to GIF, HEIC and AVIF has tests of its own.
#include "fvlm/image.hpp"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <random>

#include "runtime/image/fit.hpp"
#include "tests/runtime/image/samples.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fvlm {
namespace {

ByteVector sample(const std::string& name) {
  return read_bytes(sample_path(name));
}

// The message of the Error that reading throws, "" if it succeeds.
std::string read_error(std::span<const std::byte> bytes, const ImageOptions& options = {}) {
  return error_or_nothing([&] { read_rows(*open_image(bytes, "picture", options)); });
}

// The upright picture: fitted to a square of its longer side it stays as it is.
ByteVector upright(std::span<const std::byte> bytes, std::int64_t side,
                   const ImageOptions& options = {}) {
  std::vector<std::uint8_t> square(static_cast<std::size_t>(side * side * 3));
  const ShownPart shown = fit_image(*open_image(bytes, "picture", options), {}, side, square);
  ByteVector rgb;
  for (std::int64_t y = shown.top; y < shown.top + shown.height; ++y) {
    for (std::int64_t i = 0; i < 3 * shown.width; ++i) {
      rgb.push_back(static_cast<std::byte>(
          square[static_cast<std::size_t>((y * side + shown.left) * 3 + i)]));
    }
  }
  return rgb;
}

ByteVector cut(const ByteVector& bytes, std::size_t size) {
  // Exactly so large, so that the address sanitizer sees reads behind the end.
  return {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)};
}

void write_number(ByteVector& bytes, std::size_t at, std::uint32_t number) {
  for (std::size_t i = 0; i < 4; ++i)
    bytes[at + i] = static_cast<std::byte>(number >> (24 - 8 * i));
}

// What says its size, and no more.
ByteVector png_header(std::uint32_t width, std::uint32_t height) {
  ByteVector bytes = cut(sample("rgb8.png"), 33);  // signature and IHDR
  write_number(bytes, 16, width);
  write_number(bytes, 20, height);
  write_number(bytes, 29,
               static_cast<std::uint32_t>(
                   crc32(0, reinterpret_cast<const unsigned char*>(bytes.data() + 12), 17)));
  for (const char c : std::string("\0\0\0\0IDAT", 8)) bytes.push_back(static_cast<std::byte>(c));
  return bytes;
}

std::size_t find_marker(const ByteVector& jpeg, std::uint8_t code, std::size_t from = 0) {
  const std::byte marker[] = {std::byte{0xff}, std::byte{code}};
  const auto start = jpeg.begin() + static_cast<std::ptrdiff_t>(from);
  const auto at = std::search(start, jpeg.end(), marker, marker + 2);
  return static_cast<std::size_t>(at - jpeg.begin());
}

std::vector<ImageSample> exact_samples() {
  std::vector<ImageSample> samples;
  for (const char* const ending : {".jpg", ".png", ".webp", ".gif"}) {
    for (const ImageSample& s : image_samples(ending)) samples.push_back(s);
  }
  return samples;
}

class ImageFile : public testing::TestWithParam<ImageSample> {};

TEST_P(ImageFile, IsAsPillowHasIt) {
  const ImageSample& s = GetParam();
  const ByteVector bytes = sample(s.name);
  if (s.expected == "equal") {
    EXPECT_EQ(upright(bytes, std::max(s.width, s.height)), sample(s.name + ".rgb"));
  } else if (s.expected == "truncated") {
    EXPECT_TRUE(read_error(bytes).starts_with("picture: truncated ")) << read_error(bytes);
  } else {
    EXPECT_TRUE(read_error(bytes).starts_with("picture: cannot decode this ")) << read_error(bytes);
  }
}

TEST_P(ImageFile, DamageNeverCrashes) {
  const ByteVector bytes = sample(GetParam().name);
  std::mt19937 random(static_cast<std::uint32_t>(bytes.size()));
  // Small limits keep damaged sizes from costing time, not from showing.
  const ImageOptions limits = {.max_pixels = 1 << 16, .max_memory = 1 << 20};
  for (int round = 0; round < 100; ++round) {
    ByteVector damaged = bytes;
    for (std::uint32_t flips = random() % 8 + 1; flips > 0; --flips) {
      damaged[random() % damaged.size()] ^= static_cast<std::byte>(1 + random() % 255);
    }
    if (round % 4 == 0) damaged.resize(random() % damaged.size());
    damaged.shrink_to_fit();
    const std::string error = read_error(damaged, limits);
    ASSERT_TRUE(error.empty() || error.starts_with("picture: ")) << error;
    ASSERT_EQ(error.find('\n'), std::string::npos) << error;
  }
}

INSTANTIATE_TEST_SUITE_P(All, ImageFile, testing::ValuesIn(exact_samples()), [](const auto& test) {
  std::string name = test.param.name;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == '.' || c == '-'; }, '_');
  return name;
});

// A cut anywhere in the pixels, or before, is noticed; what follows them may be missing.
TEST(Image, EveryCutInThePixelsIsAnError) {
  struct Case {
    const char* name;
    std::size_t behind;  // bytes at the end that nobody misses
  };
  constexpr std::size_t kIend = 12 + 4;  // and IDAT's CRC
  for (const auto& [name, behind] :
       {Case{"420.jpg", 2}, Case{"progressive.jpg", 2}, Case{"cmyk.jpg", 2},
        Case{"rgb8.png", kIend}, Case{"rgba16_interlaced.png", kIend}, Case{"lossy.webp", 0},
        Case{"lossless.webp", 0}, Case{"animated.webp", 0}}) {
    const ByteVector bytes = sample(name);
    for (std::size_t size = 12; size < bytes.size() - behind; ++size) {
      const std::string error = read_error(cut(bytes, size));
      ASSERT_TRUE(error.starts_with("picture: truncated "))
          << name << ", " << size << ": " << error;
    }
  }
}

TEST(Image, DamageThatIsReadIsCounted) {
  const auto warnings = [](const std::string& name) {
    const ByteVector bytes = sample(name);
    const auto reader = open_image(bytes, name);
    read_rows(*reader);
    return reader->warnings();
  };
  EXPECT_GT(warnings("odd_stray_before_rst.jpg"), 0);
  EXPECT_GT(warnings("odd_rst_lost.jpg"), 0);
  EXPECT_EQ(warnings("420.jpg"), 0);
}

TEST(Image, OrientationMayBeIgnored) {
  const ByteVector bytes = sample("exif6.jpg");
  const auto as_stored = open_image(bytes, "picture", {.apply_orientation = false});
  const auto turned = open_image(bytes, "picture");
  EXPECT_EQ(as_stored->info().orientation, 1);
  EXPECT_EQ(turned->info().orientation, 6);
  EXPECT_EQ(read_rows(*as_stored), read_rows(*turned));
}

TEST(Image, TransparencyShowsTheBackground) {
  for (const char* const name : {"circle.png", "circle.webp", "trns_palette.png", "trns_rgb.png"}) {
    const ByteVector bytes = sample(name);
    const ByteVector white = upright(bytes, 27);
    const ByteVector blue = upright(bytes, 27, {.background = {0, 0, 200}});
    EXPECT_NE(white, blue) << name;
    const std::byte color[] = {std::byte{0}, std::byte{0}, std::byte{200}};
    EXPECT_NE(std::search(blue.begin(), blue.end(), color, color + 3), blue.end()) << name;
  }
}

TEST(Image, LimitsAreThoseOfTheHeader) {
  EXPECT_EQ(read_error(png_header(30000, 30000)),
            "picture: 30000x30000 pixels, at most 268435456 in all are accepted "
            "(--max-image-pixels)");
  EXPECT_EQ(read_error(png_header(30000, 30000), {.max_pixels = 1'000'000'000}),
            "picture: truncated PNG (the data ends early)");
  EXPECT_NE(read_error(png_header(0, 5)), "");
  EXPECT_NE(read_error(png_header(0xffffffff, 0xffffffff)), "");

  ByteVector jpeg = sample("420.jpg");
  const std::size_t frame = find_marker(jpeg, 0xc0);
  for (const std::size_t offset : {5U, 7U}) jpeg[frame + offset] = std::byte{0x75};  // 0x75.. = 30k
  EXPECT_NE(read_error(jpeg).find("(--max-image-pixels)"), std::string::npos) << read_error(jpeg);
}

TEST(Image, WhatCannotBeReadRowByRowIsLimitedInMemory) {
  for (const char* const name : {"progressive.jpg", "rgb8_interlaced.png", "lossy.webp"}) {
    const ByteVector bytes = sample(name);
    const std::size_t memory = open_image(bytes, "picture")->info().memory;
    EXPECT_GT(memory, 27U * 20U) << name;
    EXPECT_EQ(read_error(bytes, {.max_memory = memory}), "") << name;
    EXPECT_NE(read_error(bytes, {.max_memory = memory - 1}).find("--max-image-memory"),
              std::string::npos)
        << name;
  }
  for (const char* const name : {"420.jpg", "rgb8.png", "palette8_transparent.png"}) {
    const ByteVector bytes = sample(name);
    EXPECT_EQ(open_image(bytes, "picture")->info().memory, 0U) << name;
  }
}

TEST(Image, OtherFilesAreNamed) {
  const TemporaryFolder folder;
  const auto load_error = [](const std::filesystem::path& file,
                             std::int64_t max_bytes = std::int64_t{1} << 30) {
    return error_of([&] { open_image(read_image_file(file, max_bytes), file.string()); });
  };
  const std::filesystem::path photo = folder / "photo.jpg";
  EXPECT_EQ(load_error(photo),
            photo.string() + ": cannot read the image: No such file or directory");
  write_file(photo, "");
  EXPECT_EQ(load_error(photo), photo.string() + ": empty, not an image");
  EXPECT_EQ(load_error(folder.path()),
            folder.path().string() + ": cannot read the image: Is a directory");
  write_file(photo, "This is not a picture at all.\n");
  EXPECT_EQ(load_error(photo, 10),
            photo.string() + ": larger than the 10 bytes accepted for an image");
}

TEST(Image, AFileTakesItsOwnSizeInMemory) {
  const TemporaryFolder folder;
  write_file(folder / "large", std::string(1'234'567, 'x'));
  const auto bytes = read_image_file(folder / "large");
  EXPECT_EQ(bytes.size(), 1'234'567U);
  EXPECT_EQ(bytes.capacity(), bytes.size());
}

TEST(Image, PixelsInMemoryMustBeThere) {
  EXPECT_EQ(error_of([] {
              open_pixels(Image{4, 4, std::vector<std::uint8_t>(47)});
            }),
            "an image says it has 4x4 pixels of 3 bytes each, but has 47 bytes");
  EXPECT_NE(error_of([] { open_pixels(Image{}); }), "");
  EXPECT_NE(error_of([] { open_pixels(Image{std::int64_t{1} << 62, 4, {}}); }), "");
}

TEST(Image, ScansOfAProgressiveJpegAreLimited) {
  const ByteVector jpeg = sample("progressive.jpg");
  // The last scan a hundred thousand times over, 1 MB or more, ends after 64.
  std::size_t last_scan = 0;
  for (std::size_t at = 0; (at = find_marker(jpeg, 0xda, at)) < jpeg.size(); ++at) last_scan = at;
  ByteVector bomb(jpeg.begin(), jpeg.end() - 2);
  const ByteVector scan(bomb.begin() + static_cast<std::ptrdiff_t>(last_scan), bomb.end());
  for (int i = 0; i < 100'000; ++i) bomb.insert(bomb.end(), scan.begin(), scan.end());
  bomb.insert(bomb.end(), jpeg.end() - 2, jpeg.end());
  EXPECT_EQ(read_error(bomb), "picture: cannot decode this JPEG (more than 64 scans)");
}

}  // namespace
}  // namespace fvlm
