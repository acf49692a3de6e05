// From frames to JPEGs: what passes, what is compressed, and how many bytes are moved for it.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <string>
#include <vector>

#include "capture/encoder.hpp"
#include "capture/source/jpeg_header.hpp"
#include "capture/source/jpeg_stream.hpp"
#include "capture/source/pattern_source.hpp"
#include "capture/source/planes.hpp"
#include "capture/source/source.hpp"
#include "tests/capture/jpeg.hpp"
#include "tests/capture/pattern_jpeg.hpp"

namespace fvlm::capture {
namespace {

using Milliseconds = std::chrono::milliseconds;

Bytes bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

Frame pattern(PixelFormat format, int width) {
  return *PatternSource(format, width, 1000).next(Milliseconds(100));
}

Frame jpeg_frame(const std::string& jpeg) {
  return Frame{PixelFormat::kMjpeg, 0, 0, 0, bytes_of(jpeg), {}, {}, 1, Clock::now(), nullptr};
}

// The planes of a frame at full size, [height, width, components], by their definition.
std::vector<std::uint8_t> samples_of(const Frame& frame) {
  const Planes planes = *planes_of(frame);
  std::vector<std::uint8_t> samples;
  for (int y = 0; y < frame.height; ++y) {
    for (int x = 0; x < frame.width; ++x) {
      for (int c = 0; c < planes.count; ++c) {
        const Plane& plane = planes.of[static_cast<std::size_t>(c)];
        const int px = std::min(c == 0 ? x : x / planes.chroma_x, plane.width - 1);
        const int py = std::min(c == 0 ? y : y / planes.chroma_y, plane.height - 1);
        samples.push_back(plane.data[py * plane.stride + px * plane.step]);
      }
    }
  }
  return samples;
}

// A smooth picture in any format and size, with lines that may be longer than the picture.
struct Smooth {
  Smooth(PixelFormat format, int width, int height, std::size_t padding) {
    const bool packed = format == PixelFormat::kYuyv || format == PixelFormat::kUyvy;
    frame.format = format;
    frame.width = width;
    frame.height = height;
    frame.stride = static_cast<std::size_t>(packed ? 2 * width : width) + padding;
    bytes.assign(frame_bytes(format, frame.stride, height), 77);
    frame.bytes = {bytes.data(), bytes.size()};
    const Planes planes = *planes_of(frame);
    for (std::size_t c = 0; c < static_cast<std::size_t>(planes.count); ++c) {
      const Plane& plane = planes.of[c];
      for (int y = 0; y < plane.height; ++y) {
        for (int x = 0; x < plane.width; ++x) {
          const auto value = static_cast<std::uint8_t>(
              60 + 20 * c + static_cast<std::size_t>(60 * x / plane.width + 50 * y / plane.height));
          bytes[static_cast<std::size_t>(plane.data - bytes.data() + y * plane.stride +
                                         x * plane.step)] = value;
        }
      }
    }
  }
  Frame frame{};
  std::vector<std::uint8_t> bytes{};
};

TEST(JpegHeader, SaysWhatThePictureIs) {
  const std::string jpeg = pattern_jpeg(320);
  const auto header = read_jpeg_header(bytes_of(jpeg));
  ASSERT_TRUE(header);
  EXPECT_EQ(header->width, 320);
  EXPECT_EQ(header->height, 240);
  EXPECT_EQ(header->size, jpeg.size());
  EXPECT_EQ(header->tables_belong_at, 0U);
  EXPECT_EQ(header->quality, 85);
}

TEST(JpegHeader, PaddingIsLeftOut) {
  const std::string jpeg = pattern_jpeg(320);
  const std::string padded = jpeg + std::string(1000, '\0');
  const auto header = read_jpeg_header(bytes_of(padded));
  ASSERT_TRUE(header);
  EXPECT_EQ(header->size, jpeg.size());
}

TEST(JpegHeader, EveryCutIsSeen) {
  const std::string jpeg = pattern_jpeg(64);
  for (std::size_t size = 0; size < jpeg.size(); ++size) {
    EXPECT_FALSE(read_jpeg_header(bytes_of(jpeg.substr(0, size)))) << size;
  }
}

TEST(JpegHeader, APictureInsideAnotherIsSeen) {
  const std::string jpeg = pattern_jpeg(320);
  const std::string half = jpeg.substr(0, jpeg.size() / 2);
  EXPECT_FALSE(read_jpeg_header(bytes_of(half + jpeg)));
}

TEST(JpegHeader, NoiseIsRefused) {
  const std::string jpeg = pattern_jpeg(64);
  // Any byte of the head at any other value: it may still be a JPEG, but must not be misread.
  for (std::size_t at = 0; at < std::min<std::size_t>(jpeg.size(), 700); ++at) {
    std::string damaged = jpeg;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x5A);
    const auto header = read_jpeg_header(bytes_of(damaged));
    if (header) {
      EXPECT_LE(header->size, damaged.size());
      EXPECT_LE(header->tables_belong_at, header->size);
    }
  }
}

TEST(JpegStream, CutsPicturesWhateverTheChunks) {
  const std::vector<std::string> pictures = {pattern_jpeg(64), pattern_jpeg(320), pattern_jpeg(96)};
  std::string all = "noise before";
  for (const std::string& picture : pictures) all += picture + std::string("\xFF\0between", 9);
  for (const std::size_t chunk : {std::size_t{1}, std::size_t{7}, std::size_t{4096}, all.size()}) {
    JpegStream stream;
    std::vector<std::string> found;
    for (std::size_t at = 0; at < all.size(); at += chunk) {
      const std::size_t size = std::min(chunk, all.size() - at);
      const JpegStream::Room room = stream.room();
      ASSERT_GE(room.size, size);
      std::copy_n(all.data() + at, size, room.data);
      stream.add(size);
      while (const auto picture = stream.next())
        found.emplace_back(picture->begin(), picture->end());
    }
    EXPECT_EQ(found, pictures) << "chunks of " << chunk;
    EXPECT_EQ(stream.damaged(), 0U);
  }
}

TEST(JpegStream, AThumbnailIsNotTheEnd) {
  const std::string inner = pattern_jpeg(16);
  std::string outer = pattern_jpeg(320);
  const std::size_t length = inner.size() + 2;
  const std::string segment = std::string("\xFF\xE1", 2) + static_cast<char>(length >> 8) +
                              static_cast<char>(length & 255) + inner;
  outer.insert(2, segment);
  JpegStream stream;
  std::copy(outer.begin(), outer.end(), stream.room().data);
  stream.add(outer.size());
  const auto picture = stream.next();
  ASSERT_TRUE(picture);
  EXPECT_EQ(picture->size(), outer.size());
}

TEST(JpegStream, WhatNeverEndsIsGivenUp) {
  JpegStream stream;
  std::string head = pattern_jpeg(320);
  head.resize(head.size() / 2);
  std::copy(head.begin(), head.end(), stream.room().data);
  stream.add(head.size());
  const std::string noise(60'000, 'x');
  for (int i = 0; i < 200; ++i) {
    std::copy(noise.begin(), noise.end(), stream.room().data);
    stream.add(noise.size());
    EXPECT_FALSE(stream.next());
  }
  EXPECT_EQ(stream.damaged(), 1U);
  EXPECT_LT(stream.room().size, std::size_t{8} << 20);  // of 12 MB, the noise did not pile up
  const std::string good = pattern_jpeg(64);
  std::copy(good.begin(), good.end(), stream.room().data);
  stream.add(good.size());
  const auto picture = stream.next();
  ASSERT_TRUE(picture);
  EXPECT_EQ(std::string(picture->begin(), picture->end()), good);
}

struct Shape {
  PixelFormat format;
  int width;
  int height;
  std::size_t padding;
  // Of the row buffer, in samples: what the format makes necessary, and nothing more.
  int copied;
};

class EncoderShapes : public testing::TestWithParam<Shape> {};

TEST_P(EncoderShapes, TheJpegIsThePicture) {
  const Shape& shape = GetParam();
  const Smooth smooth(shape.format, shape.width, shape.height, shape.padding);
  Counters counters;
  Encoder encoder({640, 95, 100}, counters);
  const Picture picture = encoder.encode(smooth.frame);
  EXPECT_EQ(picture.width, shape.width);
  EXPECT_EQ(picture.height, shape.height);
  const DecodedJpeg decoded = decode_jpeg(joined(picture));
  EXPECT_EQ(decoded.warnings, 0);
  ASSERT_EQ(decoded.width, shape.width);
  ASSERT_EQ(decoded.height, shape.height);
  EXPECT_LT(difference(decoded.samples, samples_of(smooth.frame)), 1.5);
  EXPECT_EQ(counters.copied_rows.value(), static_cast<std::uint64_t>(shape.copied));
  EXPECT_EQ(counters.compressed.value(), 1U);
}

INSTANTIATE_TEST_SUITE_P(
    All, EncoderShapes,
    testing::Values(Shape{PixelFormat::kYu12, 640, 480, 0, 0},
                    Shape{PixelFormat::kYu12, 640, 360, 32, 0},
                    Shape{PixelFormat::kGrey, 640, 480, 0, 0},
                    Shape{PixelFormat::kNv12, 640, 480, 0, 640 * 480 / 2},
                    Shape{PixelFormat::kNv12, 160, 122, 64, 160 * 122 / 2},
                    Shape{PixelFormat::kYuyv, 640, 480, 0, 640 * 480 * 2},
                    Shape{PixelFormat::kUyvy, 640, 482, 16, 640 * 482 * 2},
                    Shape{PixelFormat::kYuyv, 638, 14, 0, 638 * 14 * 2},
                    // Not a whole number of blocks wide: rows must be padded, and so are copied.
                    Shape{PixelFormat::kYu12, 602, 338, 0, 602 * 338 * 3 / 2},
                    Shape{PixelFormat::kGrey, 33, 17, 0, 33 * 17}),
    [](const auto& test) {
      return name_of(test.param.format) + "_" + std::to_string(test.param.width) + "x" +
             std::to_string(test.param.height);
    });

TEST(Encoder, PatternsOfAllFormatsAreTheSamePicture) {
  Counters counters;
  Encoder encoder({320, 95, 100}, counters);
  const auto luma = [](const DecodedJpeg& decoded) {
    std::vector<std::uint8_t> all;
    const auto step = static_cast<std::size_t>(decoded.components);
    for (std::size_t i = 0; i < decoded.samples.size(); i += step)
      all.push_back(decoded.samples[i]);
    return all;
  };
  const auto expected = luma(decode_jpeg(joined(encoder.encode(pattern(PixelFormat::kGrey, 320)))));
  for (const PixelFormat format : {PixelFormat::kMjpeg, PixelFormat::kYu12, PixelFormat::kNv12,
                                   PixelFormat::kYuyv, PixelFormat::kUyvy}) {
    const auto got = luma(decode_jpeg(joined(encoder.encode(pattern(format, 320)))));
    EXPECT_LT(difference(got, expected), 3) << static_cast<int>(format);
  }
}

TEST(Encoder, ACamerasJpegGoesThroughAsItLies) {
  const std::string jpeg = pattern_jpeg(640);
  Counters counters;
  Encoder encoder({640, 85, 100}, counters);
  const Picture picture = encoder.encode(jpeg_frame(jpeg));
  EXPECT_EQ(picture.pieces[0].data, bytes_of(jpeg).data);
  EXPECT_EQ(picture.size(), jpeg.size());
  EXPECT_EQ(counters.copied_rows.value(), 0U);
  EXPECT_EQ(counters.passed.value(), 1U);
}

TEST(Encoder, HuffmanTablesAreAddedWithoutACopy) {
  const std::string jpeg = pattern_jpeg(640);
  const std::string bare = without_huffman_tables(jpeg);
  ASSERT_LT(bare.size(), jpeg.size());
  Counters counters;
  Encoder encoder({640, 85, 100}, counters);
  const Picture picture = encoder.encode(jpeg_frame(bare));
  EXPECT_EQ(picture.pieces[0].data, bytes_of(bare).data);
  EXPECT_EQ(picture.pieces[2].data, bytes_of(bare).data + picture.pieces[0].size);
  const std::string whole = joined(picture);
  EXPECT_FALSE(read_jpeg_header(bytes_of(bare))->tables_belong_at == 0);
  EXPECT_EQ(read_jpeg_header(bytes_of(whole))->tables_belong_at, 0U);
  EXPECT_EQ(decode_jpeg(whole).samples, decode_jpeg(jpeg).samples);
  EXPECT_EQ(counters.copied_rows.value(), 0U);
}

TEST(Encoder, ALargerJpegShrinksByEighths) {
  const std::string jpeg = pattern_jpeg(1280);
  Counters counters;
  Encoder encoder({640, 90, 100}, counters);
  const Picture picture = encoder.encode(jpeg_frame(jpeg));
  EXPECT_EQ(picture.width, 640);
  EXPECT_EQ(picture.height, 480);
  EXPECT_EQ(counters.rescaled.value(), 1U);
  EXPECT_EQ(counters.copied_rows.value(), 640U * 480U * 3U);
  const auto small = decode_jpeg(pattern_jpeg(640)).samples;
  EXPECT_LT(difference(decode_jpeg(joined(picture)).samples, small), 8);
  // Never under what is wanted: five eighths of 960 are 600, six are 720.
  EXPECT_EQ(encoder.encode(jpeg_frame(pattern_jpeg(960))).width, 720);
}

TEST(Encoder, AFinerJpegIsCompressedAgainOnlyIfThatIsWanted) {
  const std::string jpeg = pattern_jpeg(640);  // of quality 85
  Counters counters;
  EXPECT_EQ(Encoder({640, 50, 85}, counters).encode(jpeg_frame(jpeg)).size(), jpeg.size());
  EXPECT_LT(Encoder({640, 50, 84}, counters).encode(jpeg_frame(jpeg)).size(), jpeg.size());
  EXPECT_EQ(counters.rescaled.value(), 1U);
}

TEST(Encoder, LargerPlanesShrinkByMeans) {
  const Smooth smooth(PixelFormat::kYuyv, 1280, 720, 0);
  Counters counters;
  Encoder encoder({600, 95, 100}, counters);
  const Picture picture = encoder.encode(smooth.frame);
  EXPECT_EQ(picture.width, 640);
  EXPECT_EQ(picture.height, 360);
  const Smooth small(PixelFormat::kYuyv, 640, 360, 0);
  EXPECT_LT(difference(decode_jpeg(joined(picture)).samples, samples_of(small.frame)), 1.5);
  EXPECT_EQ(counters.copied_rows.value(), 640U * 360U * 2U);
}

TEST(Encoder, DamageIsReported) {
  Counters counters;
  Encoder encoder({640, 85, 100}, counters);
  const std::string jpeg = pattern_jpeg(640);
  EXPECT_THROW(encoder.encode(jpeg_frame(jpeg.substr(0, jpeg.size() - 2))), std::runtime_error);
  // Whole by its markers, but not by its data, which shows when it must be decoded.
  std::string hollow = pattern_jpeg(1280);
  hollow.erase(hollow.size() / 2, hollow.size() / 4);
  EXPECT_THROW(encoder.encode(jpeg_frame(hollow)), std::runtime_error);
  EXPECT_NO_THROW(encoder.encode(jpeg_frame(jpeg)));  // and the encoder is still of use
}

}  // namespace
}  // namespace fvlm::capture
