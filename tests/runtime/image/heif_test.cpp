// HEIC and AVIF: as Pillow has them, turned as the file says, and data that ends early or is
// damaged. Where libheif is absent, the message that says so.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "runtime/image/formats.hpp"
#include "tests/runtime/image/samples.hpp"

namespace fvlm {
namespace {

bool is_read(const std::string& kind) {
  return contains(std::string(image_formats::kReadableFormats), kind);
}

std::vector<ImageSample> heif_samples() {
  std::vector<ImageSample> samples = image_samples(".heic");
  for (const ImageSample& sample : image_samples(".avif")) samples.push_back(sample);
  return samples;
}

std::string heif_error(std::span<const std::byte> bytes, const ImageOptions& options = {}) {
  return error_or_nothing([&] { read_rows(*image_formats::open_heif(bytes, "picture", options)); });
}

// Decoders agree to the bit; where a picture is not stored as RGB, Pillow's conversion may round
// differently.
int largest_difference(const ByteVector& rgb, const ByteVector& expected) {
  int largest = rgb.size() == expected.size() ? 0 : 256;
  for (std::size_t i = 0; i < std::min(rgb.size(), expected.size()); ++i) {
    largest = std::max(largest,
                       std::abs(std::to_integer<int>(rgb[i]) - std::to_integer<int>(expected[i])));
  }
  return largest;
}

TEST(Heif, SamplesAreReadOrTheLibraryIsNamed) {
  for (const ImageSample& sample : heif_samples()) {
    const ByteVector bytes = read_bytes(sample_path(sample.name));
    const std::string kind(image_formats::heif_kind(bytes));
    EXPECT_EQ(heif_error(bytes),
              is_read(kind) ? ""
                            : "picture: " + kind +
                                  " pictures are not read by this build: convert it to JPEG or "
                                  "PNG, or build fastvlm where libheif-dev, libdav1d-dev and "
                                  "libde265-dev are installed");
  }
}

class HeifReading : public testing::Test {
 protected:
  void SetUp() override {
    if (!is_read("HEIC")) GTEST_SKIP() << "built without libheif";
  }
};

TEST_F(HeifReading, SamplesEqualPillow) {
  for (const ImageSample& sample : heif_samples()) {
    const ByteVector bytes = read_bytes(sample_path(sample.name));
    const auto reader = image_formats::open_heif(bytes, "picture", {});
    EXPECT_EQ(reader->info().width, sample.width) << sample.name;
    EXPECT_EQ(reader->info().height, sample.height) << sample.name;
    EXPECT_EQ(reader->info().orientation, 1) << sample.name;
    const bool is_rgb = sample.name.ends_with(".heic") && sample.name != "photo.heic";
    EXPECT_LE(largest_difference(read_rows(*reader), read_bytes(sample_path(sample.name + ".rgb"))),
              is_rgb ? 0 : 1)
        << sample.name;
  }
}

// Those of the file and of the coded picture are the same; where the file has none, these count.
TEST_F(HeifReading, ColorsMayBeTheCodingsOwn) {
  for (const char* const name : {"photo.avif", "photo.heic"}) {
    std::string file = read_file(sample_path(name));
    file.replace(file.find("colr"), 4, "skip");
    const auto reader = image_formats::open_heif(std::as_bytes(std::span(file)), "picture", {});
    EXPECT_LE(
        largest_difference(read_rows(*reader), read_bytes(sample_path(name + std::string(".rgb")))),
        1)
        << name;
  }
}

// Both say that the picture is turned: the file's own tag counts, and only once.
TEST_F(HeifReading, SamplesAreStoredTurned) {
  for (const char* const name : {"exif6.heic", "exif6.avif"}) {
    const std::string text = read_file(sample_path(name));
    EXPECT_PRED2(contains, text, "irot") << name;
  }
  EXPECT_PRED2(contains, read_file(sample_path("exif6.heic")), "Exif");
}

TEST_F(HeifReading, TransparentPixelsShowTheBackground) {
  for (const char* const name : {"alpha.heic", "alpha.avif"}) {
    const ByteVector bytes = read_bytes(sample_path(name));
    const ByteVector rgb =
        read_rows(*image_formats::open_heif(bytes, "picture", {.background = {1, 200, 3}}));
    EXPECT_EQ(rgb[0], std::byte{1}) << name;  // a corner
    EXPECT_EQ(rgb[1], std::byte{200}) << name;
    EXPECT_EQ(rgb[2], std::byte{3}) << name;
    const std::size_t middle = (10 * 27 + 13) * 3;
    const ByteVector on_white = read_bytes(sample_path(name + std::string(".rgb")));
    for (std::size_t i = middle; i < middle + 3; ++i) {
      EXPECT_NEAR(std::to_integer<int>(rgb[i]), std::to_integer<int>(on_white[i]), 1) << name;
    }
  }
}

TEST_F(HeifReading, LimitsApplyBeforeDecoding) {
  for (const ImageSample& sample : heif_samples()) {
    const ByteVector bytes = read_bytes(sample_path(sample.name));
    const auto pixels = sample.width * sample.height;
    EXPECT_EQ(heif_error(bytes, {.max_pixels = pixels}), "") << sample.name;
    EXPECT_PRED2(contains, heif_error(bytes, {.max_pixels = pixels - 1}), "--max-image-pixels");
    const auto reader = image_formats::open_heif(bytes, "picture", {});
    const std::size_t memory = reader->info().memory;
    EXPECT_GE(memory, static_cast<std::size_t>(pixels) * 9) << sample.name;
    EXPECT_EQ(heif_error(bytes, {.max_memory = memory}), "") << sample.name;
    EXPECT_PRED2(contains, heif_error(bytes, {.max_memory = memory - 1}), "MB to decode");
  }
}

TEST_F(HeifReading, EveryTruncationIsAnError) {
  for (const ImageSample& sample : heif_samples()) {
    const ByteVector bytes = read_bytes(sample_path(sample.name));
    const std::string start =
        "picture: truncated " + std::string(image_formats::heif_kind(bytes)) + " (";
    for (std::size_t size = 12; size < bytes.size(); size += 1 + size / 200) {
      const ByteVector cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
      ASSERT_TRUE(heif_error(cut).starts_with(start))
          << sample.name << " " << size << ": " << heif_error(cut);
    }
  }
}

TEST_F(HeifReading, BytesAfterTheFileAreIgnored) {
  ByteVector bytes = read_bytes(sample_path("lossless.heic"));
  bytes.resize(bytes.size() + 100, std::byte{0x53});
  EXPECT_EQ(heif_error(bytes), "");
}

TEST_F(HeifReading, DamageNeverCrashes) {
  std::mt19937 random(4);
  for (const ImageSample& sample : heif_samples()) {
    const ByteVector bytes = read_bytes(sample_path(sample.name));
    for (int round = 0; round < 100; ++round) {
      ByteVector damaged = bytes;
      for (std::uint32_t flips = random() % 4 + 1; flips > 0; --flips) {
        damaged[12 + random() % (damaged.size() - 12)] ^=
            static_cast<std::byte>(1 + random() % 255);
      }
      const std::string error = heif_error(damaged, {.max_pixels = 1 << 16});
      ASSERT_TRUE(error.empty() || error.starts_with("picture: ")) << error;
      ASSERT_EQ(error.find('\n'), std::string::npos) << error;
    }
  }
}

}  // namespace
}  // namespace fvlm
