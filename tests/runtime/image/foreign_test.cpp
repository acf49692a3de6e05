// Files that are not read: what each is, and what its sender can do.
#include <gtest/gtest.h>

#include "runtime/image/formats.hpp"
#include "tests/runtime/image/samples.hpp"

namespace fvlm {
namespace {

using namespace std::string_literals;

std::string foreign(const std::string& text) {
  ByteVector bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  const std::string message = image_formats::foreign_error(bytes, "picture").what();
  const std::string read(image_formats::kReadableFormats);
  const std::string part = "; " + read;
  const std::size_t at = message.find(part);
  EXPECT_NE(at, std::string::npos) << message;
  return at == std::string::npos ? message : std::string(message).erase(at, part.size());
}

std::string converted(const std::string& what, const std::string& extension) {
  return "picture: this is " + what + " pictures are read: convert it, e.g. `convert in." +
         extension + " out.png`";
}

TEST(ForeignFormat, PicturesAreNamedWithACommand) {
  const std::pair<std::string, std::pair<std::string, std::string>> kCases[] = {
      {"BM\x36\x10\0\0\0\0\0\0\x36\0\0\0"s, {"a BMP picture", "bmp"}},
      {"II*\0\x08\0\0\0\1\0"s, {"a TIFF picture", "tiff"}},
      {"MM\0*\0\0\0\x08"s, {"a TIFF picture", "tiff"}},
      {"II*\0\x08\0\0\0\1\0\x12\xc6\1\0\4\0\0\0\1\4\0\0"s, {"a DNG raw photo", "dng"}},
      {"MM\0*\0\0\0\x08\0\1\xc6\x12\0\1\0\0\0\4\1\4\0\0"s, {"a DNG raw photo", "dng"}},
      {"II*\0\x10\0\0\0CR\2\0"s, {"a Canon raw photo", "cr2"}},
      {"\0\0\0\x18"
       "ftypcrx \0\0\0\1crx isom"s,
       {"a Canon raw photo", "cr3"}},
      {"\0\0\0\x0cjP  \r\n\x87\n"s, {"a JPEG 2000 picture", "jp2"}},
      {"\xff\x4f\xff\x51\0"s, {"a JPEG 2000 picture", "j2k"}},
      {"\0\0\0\x0cJXL \r\n\x87\n"s, {"a JPEG XL picture", "jxl"}},
      {"\xff\x0a\x18"s, {"a JPEG XL picture", "jxl"}},
      {"8BPS\0\1"s, {"a PSD picture", "psd"}},
      {"\0\0\1\0\1\0"s, {"an ICO picture", "ico"}},
      {"v/1\1\2\0"s, {"an EXR picture", "exr"}},
      {"qoif\0\0\0\x1b"s, {"a QOI picture", "qoi"}},
      {"P6\n27 20\n255\n"s, {"a Netpbm picture", "pnm"}},
      {"%PDF-1.7\n"s, {"a PDF document", "pdf"}},
      {"<svg xmlns='http://www.w3.org/2000/svg'/>"s, {"an SVG drawing", "svg"}},
      {"\xef\xbb\xbf\n<?xml version='1.0'?>\n<!-- drawn -->\n<SVG>"s, {"an SVG drawing", "svg"}},
  };
  for (const auto& [text, expected] : kCases) {
    EXPECT_EQ(foreign(text), converted(expected.first, expected.second));
  }
}

TEST(ForeignFormat, OtherFilesAreNamedWithAdvice) {
  const auto advised = [](const std::string& what, const std::string& advice) {
    return "picture: this is " + what + " pictures are read: " + advice;
  };
  const std::string frame = "take a frame of it: `ffmpeg -i IN -frames:v 1 out.png`";
  EXPECT_EQ(foreign("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
            advised("a Git LFS pointer", "fetch the file itself: `git lfs pull`"));
  EXPECT_EQ(foreign("<!DOCTYPE html>\n<svg/><title>Sign in</title>"),
            advised("an HTML page", "save the picture that it shows"));
  EXPECT_EQ(foreign("\0\0\0\x20"
                    "ftypisom\0\0\2\0isomiso2avc1mp41"s),
            advised("an MP4 or QuickTime video", frame));
  EXPECT_EQ(foreign("\0\0\1\0"
                    "ftypqt  \0\0\0\0"s),
            advised("an MP4 or QuickTime video", frame));
  EXPECT_EQ(foreign("\x1a\x45\xdf\xa3\x9f"), advised("a WebM or Matroska video", frame));
  EXPECT_EQ(foreign("PK\3\4\x14"), advised("a ZIP archive", "unpack it"));
  EXPECT_EQ(foreign("/9j/4AAQSkZJRg"),
            advised("a JPEG picture in Base64", "decode the Base64 text first"));
}

TEST(ForeignFormat, WhatIsUnknownIsNotNamed) {
  for (const std::string& text : {"This is not a picture at all.\n"s, "BM: a message"s, "P6"s,
                                  "P8 x"s, "II*"s, ""s, "{\"a\": 1}"s, std::string(40, '\0')}) {
    EXPECT_EQ(foreign(text), "picture: not a picture of a known format are read") << text;
  }
}

TEST(ForeignFormat, HeifIsToldFromVideo) {
  const auto kind = [](const std::string& text) {
    return std::string(image_formats::heif_kind(std::as_bytes(std::span(text))));
  };
  EXPECT_EQ(kind("\0\0\0\x18"
                 "ftypheic\0\0\0\0mif1heic"s),
            "HEIC");
  EXPECT_EQ(kind("\0\0\0\x18"
                 "ftypmif1\0\0\0\0mif1heic"s),
            "HEIC");
  EXPECT_EQ(kind("\0\0\0\x18"
                 "ftypmif1\0\0\0\0mif1avif"s),
            "AVIF");
  EXPECT_EQ(kind("\0\0\0\x1c"
                 "ftypavif\0\0\0\0avifmif1miaf"s),
            "AVIF");
  EXPECT_EQ(kind("\0\0\0\x14"
                 "ftypisom\0\0\0\0isomavif"s),
            "");  // outside the box
  EXPECT_EQ(kind("\0\0\0\x18"
                 "ftypqt  avif\0\0\0\0qt  "s),
            "");  // the version
  EXPECT_EQ(kind("\0\0\0\0"
                 "ftypheic"s),
            "");
  EXPECT_EQ(kind("\xff\xff\xff\xff"
                 "ftypheic"s),
            "HEIC");
  EXPECT_EQ(kind("\0\0\0\x18"
                 "ftyp"s),
            "");
  EXPECT_EQ(kind(""), "");
}

TEST(ForeignFormat, HeifSamplesAreKnown) {
  for (const auto& [ending, kind] : {std::pair{".heic", "HEIC"}, {".avif", "AVIF"}}) {
    const std::vector<ImageSample> samples = image_samples(ending);
    EXPECT_GE(samples.size(), 3U);
    for (const ImageSample& sample : samples) {
      EXPECT_EQ(image_formats::heif_kind(read_bytes(sample_path(sample.name))), kind);
    }
  }
}

}  // namespace
}  // namespace fvlm
