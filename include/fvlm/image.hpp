// Images for the engine: from a file's bytes or from pixels in memory, row by row, to what the
// encoder sees.
//
//     const auto bytes = fvlm::read_image_file("photo.jpg");
//     const auto reader = fvlm::open_image(bytes, "photo.jpg");
//     const fvlm::PreparedImage image = engine->prepare(*reader);
//
// Single-scan JPEG and PNG without interlacing are decoded row by row, so that memory does not grow
// with their height. What decoding an image costs is known from its header, before any of it is
// spent.
//
// Pixels are 8-bit RGB and equal those of Pillow's `Image.open(file).convert("RGB")`, except that
//   - transparent pixels are blended with the background colour;
//   - 16-bit grey keeps the high byte of each sample, as 16-bit colour does, where Pillow turns
//     every value above 255 white.
// Of an animation the first frame is read; gamma and colour profiles are ignored.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "fvlm/core/hash.hpp"
#include "fvlm/ops/pixels.hpp"

namespace fvlm {

// How an image is read, and what it may cost.
struct ImageOptions {
  bool apply_orientation = true;  // report the EXIF orientation, by which prepare() turns it
  std::array<std::uint8_t, 3> background = {255, 255, 255};  // RGB, behind transparent pixels

  std::int64_t max_pixels = std::int64_t{256} << 20;    // width * height
  std::size_t max_memory = std::size_t{512} << 20;      // bytes, compared with ImageInfo::memory
  std::int64_t max_file_bytes = std::int64_t{1} << 30;  // default limit of read_image_file
};

// What an image's header says.
struct ImageInfo {
  std::int64_t width = 0;  // pixels, as stored
  std::int64_t height = 0;
  int orientation = 1;     // EXIF's, 1 to 8; always 1 if ImageOptions do not apply it
  std::size_t memory = 0;  // bytes that decoding allocates besides a few rows, such as the
                           // coefficients of a progressive JPEG; 0 if it is decoded row by row
};

// Reads the rows of one image, once.
class ImageReader {
 public:
  virtual ~ImageReader() = default;
  ImageReader(const ImageReader&) = delete;
  ImageReader& operator=(const ImageReader&) = delete;

  // Known before any row is read.
  const ImageInfo& info() const { return info_; }
  // Writes the next row, [width, 3], from the top one on; `height` times. Throws Error if the file
  // ends early or cannot be decoded.
  virtual void read_row(std::uint8_t* rgb) = 0;
  // Errors in the file so far from which the decoder recovered.
  virtual std::int64_t warnings() const { return 0; }

 protected:
  ImageReader() = default;
  ImageInfo info_;
};

// An image in memory: 8-bit RGB, rows from top to bottom.
struct Image {
  std::int64_t width = 0;  // pixels
  std::int64_t height = 0;
  std::vector<std::uint8_t> rgb;  // [height, width, 3]
};

// Opens an image of any known format, recognised by its first bytes: JPEG, PNG, WebP, GIF and,
// where the library was built with libheif, HEIC and AVIF. `bytes` must outlive the reader; `name`
// is the image's name in messages. Throws Error if the data is empty, of another format, damaged,
// truncated, or beyond the limits of `options`.
std::unique_ptr<ImageReader> open_image(std::span<const std::byte> bytes, std::string_view name,
                                        const ImageOptions& options = {});

// Reads an image that is decoded already, such as a camera's frame. `image` must outlive the
// reader. Throws Error if it is empty or has other than width * height * 3 bytes.
std::unique_ptr<ImageReader> open_pixels(const Image& image);

// All rows as stored, not turned by the orientation. Throws Error as the reader does.
Image read_whole(ImageReader& reader);

// A file's bytes, for open_image. Throws Error if it cannot be read or has more than `max_bytes`.
std::vector<std::byte> read_image_file(const std::filesystem::path& file,
                                       std::int64_t max_bytes = ImageOptions{}.max_file_bytes);

// An image downsampled to 32 x 32 grey values, to detect whether a camera's view has changed.
struct Thumbnail {
  static constexpr std::int64_t kSide = 32;
  std::array<float, kSide * kSide> fields{};  // mean brightness in 0..255

  // Mean absolute difference of the fields, in 0..255.
  double difference(const Thumbnail& other) const;
};

// An image as the encoder sees it: made once, by Engine::prepare, and only read afterwards. Copies
// share the pixels, which may outlive the engine.
struct PreparedImage {
  Pixels pixels{};  // [side, side, 3]
  std::int64_t side = 0;
  Hash128 hash{};             // of the pixels, with a key of this process; for the prefix cache
  Thumbnail thumbnail{};      // of the image without its padding
  std::int64_t warnings = 0;  // ImageReader::warnings()
  double seconds = 0;         // wall-clock time of decoding and resizing
};

}  // namespace fvlm
