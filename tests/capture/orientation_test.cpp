// Pictures of telephones, which say in EXIF how they were held: they leave the client upright,
// against what Pillow makes of them (tests/data/images/README.md).
#include "capture/source/jpeg_orientation.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "capture/encoder.hpp"
#include "capture/source/jpeg_header.hpp"
#include "capture/source/source.hpp"
#include "tests/capture/jpeg.hpp"
#include "tests/capture/pattern_jpeg.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fvlm::capture {
namespace {

using namespace std::string_literals;

Bytes borrowed(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

Frame photo(const std::string& jpeg) {
  return Frame{PixelFormat::kMjpeg, 0, 0, 0, borrowed(jpeg), {}, {}, 1, Clock::now(), nullptr};
}

DecodedJpeg encoded(const std::string& jpeg, const EncoderOptions& options) {
  Counters counters;
  Encoder encoder(options, counters);
  return decode_jpeg(joined(encoder.encode(photo(jpeg))));
}

// "Exif", and a TIFF block with the tag in either order of bytes.
std::string segment_of(int orientation, bool big_endian = true) {
  const char value = static_cast<char>(orientation);
  return "Exif\0\0"s +
         (big_endian ? "MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"s + value
                     : "II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"s + value + '\0') +
         "\0\0\0\0\0\0"s;
}

std::string with_orientation(const std::string& jpeg, int orientation) {
  const std::string body = segment_of(orientation);
  const char size = static_cast<char>(body.size() + 2);
  return jpeg.substr(0, 2) + "\xFF\xE1\0"s + size + body + jpeg.substr(2);
}

// The mean difference of the luminances of a picture and of RGB rows, [height, width, 3], from a
// column on.
double difference_to_rgb(const DecodedJpeg& picture, const std::string& rgb, int width, int from) {
  double sum = 0;
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) {
      const auto at = static_cast<std::size_t>(3 * (y * width + from + x));
      const auto part = [&](std::size_t i) { return static_cast<std::uint8_t>(rgb[at + i]); };
      const double wanted = 0.299 * part(0) + 0.587 * part(1) + 0.114 * part(2);
      sum +=
          std::abs(picture.samples[static_cast<std::size_t>(3 * (y * picture.width + x))] - wanted);
    }
  }
  return sum / (picture.width * picture.height);
}

TEST(Orientation, EachIsAsPillowTurnsIt) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const std::string name =
        FVLM_SOURCE "/tests/data/images/exif" + std::to_string(orientation) + ".jpg";
    const std::string jpeg = read_file(name);
    EXPECT_EQ(read_jpeg_header(borrowed(jpeg))->orientation, orientation);
    const DecodedJpeg picture = encoded(jpeg, {.width = 64, .quality = 95});
    // An odd column of a picture with halved colours is left out, the last of the JPEG.
    EXPECT_NEAR(picture.width, 27, 1) << name;
    EXPECT_NEAR(picture.height, 20, 1) << name;
    const std::string rgb = read_file(name + ".rgb");
    EXPECT_LT(std::min(difference_to_rgb(picture, rgb, 27, 0),
                       difference_to_rgb(picture, rgb, 27, 27 - picture.width)),
              4)
        << name;
  }
}

TEST(Orientation, ALargeOneShrinksUpright) {
  const std::string jpeg = pattern_jpeg(1280);
  const DecodedJpeg lying = encoded(jpeg, {.width = 320, .quality = 95});
  const DecodedJpeg upright = encoded(with_orientation(jpeg, 6), {.width = 240, .quality = 95});
  ASSERT_EQ(upright.width, 240);
  ASSERT_EQ(upright.height, 320);
  int wrong = 0;
  for (int y = 5; y < 320; y += 11) {
    for (int x = 5; x < 240; x += 11) {
      // Turned by 90 degrees, clockwise.
      const int found = upright.samples[static_cast<std::size_t>(3 * (y * 240 + x))];
      const int wanted = lying.samples[static_cast<std::size_t>(3 * ((239 - x) * 320 + y))];
      wrong += std::abs(found - wanted) > 12 ? 1 : 0;
    }
  }
  EXPECT_LE(wrong, 30) << "edges of the bars may fall on other blocks";
}

TEST(Orientation, AreasAreThoseOfTheUprightPicture) {
  const std::string jpeg = with_orientation(pattern_jpeg(640), 6);
  EncoderOptions options{.width = 480, .quality = 95};
  options.transform.masks = {parse_area("0,0,160,160")};
  const DecodedJpeg picture = encoded(jpeg, options);
  ASSERT_EQ(picture.width, 480);
  ASSERT_EQ(picture.height, 640);
  for (const auto& [x, y] : {std::pair{8, 8}, {150, 8}, {8, 150}, {150, 150}}) {
    EXPECT_LT(picture.samples[static_cast<std::size_t>(3 * (y * 480 + x))], 20) << x << ',' << y;
  }
  options.transform.masks.clear();
  options.transform.rotate = 270;
  options.width = 640;
  EXPECT_EQ(encoded(jpeg, options).width, 640) << "turned back";
}

TEST(Orientation, OnlyWhatSaysSoIsTurned) {
  for (const bool big_endian : {true, false}) {
    for (int value = 0; value < 12; ++value) {
      const std::string segment = segment_of(value, big_endian);
      EXPECT_EQ(exif_orientation(borrowed(segment)), value >= 1 && value <= 8 ? value : 1);
      for (std::size_t size = 0; size < segment.size() - 6; ++size) {
        const std::string cut = segment.substr(0, size);
        EXPECT_EQ(exif_orientation(borrowed(cut)), 1) << size;
      }
    }
  }
  const std::string jpeg = with_orientation(pattern_jpeg(640), 1);
  Counters counters;
  Encoder encoder({.width = 640}, counters);
  EXPECT_EQ(joined(encoder.encode(photo(jpeg))), jpeg) << "passes as it lies";
}

}  // namespace
}  // namespace fvlm::capture
