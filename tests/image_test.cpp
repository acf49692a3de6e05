// Decoding pictures: bytes equal to Pillow's, limits, and every kind of bad file.
#include "runtime/image.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <random>

#include "fvlm/core/error.hpp"
#include "runtime/image_formats.hpp"
#include "tests/temporary_folder.hpp"

namespace fvlm {
namespace {

using ByteVector = std::vector<std::byte>;

const char* const kSamples[] = {"420.jpg",          "422.jpg",
                                "progressive.jpg",  "gray.jpg",
                                "cmyk.jpg",         "ycck.jpg",
                                "exif_rotated.jpg", "gray1.png",
                                "gray2.png",        "gray4.png",
                                "gray8.png",        "gray16.png",
                                "gray_alpha.png",   "palette4.png",
                                "rgb8.png",         "palette8_transparent.png",
                                "rgb16.png",        "rgb8_interlaced.png",
                                "rgba8.png",        "rgba16_interlaced.png",
                                "lossy.webp",       "lossless.webp",
                                "rgba_lossy.webp",  "rgba_lossless.webp",
                                "animated.webp",    "animated_offset.webp"};

std::filesystem::path sample_path(const std::string& name) {
  return std::filesystem::path(FVLM_TEST_DATA) / "images" / name;
}

ByteVector read_bytes(const std::filesystem::path& file) {
  const std::string text = read_file(file);
  ByteVector bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

// The message of the Error that decoding throws, "" if it succeeds.
std::string decode_error(std::span<const std::byte> bytes, const ImageLimits& limits = {}) {
  try {
    decode_image(bytes, "picture", limits);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

ByteVector png_header(std::uint32_t width, std::uint32_t height) {
  ByteVector bytes = read_bytes(sample_path("rgb8.png"));
  bytes.resize(33);  // signature and IHDR
  for (std::size_t i = 0; i < 4; ++i) {
    bytes[16 + i] = static_cast<std::byte>(width >> (24 - 8 * i));
    bytes[20 + i] = static_cast<std::byte>(height >> (24 - 8 * i));
  }
  return bytes;
}

std::size_t find_marker(const ByteVector& jpeg, std::uint8_t code, std::size_t from = 0) {
  const std::byte marker[] = {std::byte{0xff}, std::byte{code}};
  const auto start = jpeg.begin() + static_cast<std::ptrdiff_t>(from);
  const auto at = std::search(start, jpeg.end(), marker, marker + 2);
  return static_cast<std::size_t>(at - jpeg.begin());
}

class ImageSample : public testing::TestWithParam<const char*> {};

TEST_P(ImageSample, EqualsPillow) {
  const Image image = load_image(sample_path(GetParam()));
  ASSERT_EQ(image.width, 27);
  ASSERT_EQ(image.height, 20);
  const ByteVector expected = read_bytes(sample_path(GetParam() + std::string(".rgb")));
  ASSERT_EQ(image.rgb.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(image.rgb[i], std::to_integer<int>(expected[i])) << "byte " << i;
  }
}

TEST_P(ImageSample, EveryTruncationIsAnError) {
  const ByteVector bytes = read_bytes(sample_path(GetParam()));
  for (std::size_t size = 12; size < bytes.size(); ++size) {
    // A copy of its own, so that the address sanitizer sees reads behind the end.
    const ByteVector cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    const std::string error = decode_error(cut);
    ASSERT_TRUE(error.starts_with("picture: truncated ")) << size << ": " << error;
  }
}

TEST_P(ImageSample, LimitsApply) {
  const ByteVector bytes = read_bytes(sample_path(GetParam()));
  EXPECT_EQ(decode_error(bytes, {.max_pixels = 27 * 20, .max_side = 27}), "");
  EXPECT_EQ(decode_error(bytes, {.max_side = 26}),
            "picture: 27x20 pixels, at most 26 a side and 16777216 in all are accepted");
  EXPECT_EQ(decode_error(bytes, {.max_pixels = 27 * 20 - 1}),
            "picture: 27x20 pixels, at most 8192 a side and 539 in all are accepted");
}

TEST_P(ImageSample, DamageNeverCrashes) {
  const ByteVector bytes = read_bytes(sample_path(GetParam()));
  std::mt19937 random(static_cast<std::uint32_t>(bytes.size()));
  // 26 samples in 100 ways. Small limits keep damaged sizes from costing time, not from showing.
  const ImageLimits strict = {.max_pixels = 1 << 16};
  const ImageLimits lenient = {.max_pixels = 1 << 16, .warnings_are_errors = false};
  for (int round = 0; round < 100; ++round) {
    ByteVector damaged = bytes;
    for (std::uint32_t flips = random() % 8 + 1; flips > 0; --flips) {
      damaged[random() % damaged.size()] ^= static_cast<std::byte>(1 + random() % 255);
    }
    if (round % 4 == 0) damaged.resize(random() % damaged.size());
    damaged.shrink_to_fit();
    for (const ImageLimits& limits : {strict, lenient}) {
      const std::string error = decode_error(damaged, limits);
      ASSERT_TRUE(error.empty() || error.starts_with("picture: ")) << error;
      ASSERT_EQ(error.find('\n'), std::string::npos) << error;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ImageSample, testing::ValuesIn(kSamples), [](const auto& sample) {
  std::string name = sample.param;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
});

TEST(Image, SizesFromTheHeaderAreEnough) {
  EXPECT_EQ(decode_error(png_header(30000, 30000)),
            "picture: 30000x30000 pixels, at most 8192 a side and 16777216 in all are accepted");
  EXPECT_NE(decode_error(png_header(0, 5)), "");
  EXPECT_NE(decode_error(png_header(0xffffffff, 0xffffffff)), "");

  ByteVector jpeg = read_bytes(sample_path("420.jpg"));
  const std::size_t frame = find_marker(jpeg, 0xc0);
  for (const std::size_t offset : {5U, 7U}) jpeg[frame + offset] = std::byte{0x75};  // 0x75.. = 30k
  EXPECT_NE(decode_error(jpeg).find("at most 8192 a side"), std::string::npos);
}

TEST(Image, TheLargestPicturesAccepted) {
  const auto fits = [](std::int64_t width, std::int64_t height) {
    try {
      image_formats::check_size(width, height, "picture", {});
    } catch (const Error&) {
      return false;
    }
    return true;
  };
  EXPECT_TRUE(fits(4000, 3000));
  EXPECT_TRUE(fits(4096, 4096));
  EXPECT_TRUE(fits(8192, 2048));
  EXPECT_FALSE(fits(4097, 4096));
  EXPECT_FALSE(fits(8193, 1));
  EXPECT_FALSE(fits(1, 8193));
}

TEST(Image, OtherFilesAreNamed) {
  const TemporaryFolder folder;
  const auto load_error = [](const std::filesystem::path& file, const ImageLimits& limits = {}) {
    return error_of([&] { load_image(file, limits); });
  };
  const std::filesystem::path photo = folder / "photo.jpg";
  EXPECT_EQ(load_error(photo),
            photo.string() + ": cannot read the image: No such file or directory");
  write_file(photo, "");
  EXPECT_EQ(load_error(photo), photo.string() + ": empty, not an image");
  write_file(photo, "This is not a picture at all.\n");
  EXPECT_EQ(load_error(photo), photo.string() + ": not a JPEG, PNG or WebP image");
  EXPECT_EQ(load_error(folder.path()),
            folder.path().string() + ": cannot read the image: Is a directory");
  EXPECT_EQ(load_error(photo, {.max_file_bytes = 10}),
            photo.string() + ": larger than the 10 bytes accepted for an image");
}

TEST(Image, JpegWarningsMayBeAllowed) {
  ByteVector jpeg = read_bytes(sample_path("420.jpg"));
  jpeg.resize(jpeg.size() - 100);
  EXPECT_EQ(decode_error(jpeg), "picture: truncated JPEG (Premature end of JPEG file)");
  const Image image = decode_image(jpeg, "picture", {.warnings_are_errors = false});
  const Image whole = load_image(sample_path("420.jpg"));
  EXPECT_EQ(image.width, whole.width);
  // The first rows are whole, the last ones are missing.
  EXPECT_TRUE(std::equal(image.rgb.begin(), image.rgb.begin() + 27 * 3 * 4, whole.rgb.begin()));
  EXPECT_NE(image.rgb, whole.rgb);
}

TEST(Image, ScansOfAProgressiveJpegAreLimited) {
  const ByteVector jpeg = read_bytes(sample_path("progressive.jpg"));
  EXPECT_EQ(decode_error(jpeg, {.max_progressive_scans = 10}), "");
  EXPECT_EQ(decode_error(jpeg, {.max_progressive_scans = 9}),
            "picture: cannot decode this JPEG (more than 9 scans)");

  // The last scan a hundred thousand times over, 1 MB or more, ends after 64.
  std::size_t last_scan = 0;
  for (std::size_t at = 0; (at = find_marker(jpeg, 0xda, at)) < jpeg.size(); ++at) last_scan = at;
  ByteVector bomb(jpeg.begin(), jpeg.end() - 2);
  const ByteVector scan(bomb.begin() + static_cast<std::ptrdiff_t>(last_scan), bomb.end());
  for (int i = 0; i < 100'000; ++i) bomb.insert(bomb.end(), scan.begin(), scan.end());
  bomb.insert(bomb.end(), jpeg.end() - 2, jpeg.end());
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(decode_error(bomb, {.warnings_are_errors = false}),
            "picture: cannot decode this JPEG (more than 64 scans)");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
}

TEST(Image, DamagedPngPixelsAreNoticed) {
  ByteVector png = read_bytes(sample_path("rgb8.png"));
  png[png.size() / 2] ^= std::byte{0x10};
  EXPECT_TRUE(decode_error(png).starts_with("picture: cannot decode this PNG ("))
      << decode_error(png);
}

}  // namespace
}  // namespace fvlm
