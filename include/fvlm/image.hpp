// Pictures for the engine: from a file's bytes or from pixels in memory, row by row, to what the
// model sees.
//
//     const auto bytes = fvlm::read_image_file("photo.jpg");
//     const auto reader = fvlm::open_image(bytes, "photo.jpg");
//     const fvlm::Picture picture = engine->prepare(*reader);
//
// JPEG and PNG need no more memory than a few rows, however large they are. What a picture costs is
// known from its header, before any of it is spent.
//
// Pixels are 8-bit RGB and equal those of Pillow's `Image.open(file).convert("RGB")`, but for
// these:
//   - what is transparent shows the background colour;
//   - 16-bit gray keeps the high byte of each sample, as 16-bit colour does, where Pillow turns
//     every value above 255 white.
//
// Of an animation the first frame counts; gamma and colour profiles are ignored.
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

// How a picture is read, and what it may cost.
struct ImageOptions {
  bool apply_orientation = true;  // turn it as its EXIF data says; else as it is stored
  std::array<std::uint8_t, 3> background = {255, 255, 255};  // RGB, behind what is transparent

  std::int64_t max_pixels = std::int64_t{256} << 20;    // width * height
  std::size_t max_memory = std::size_t{512} << 20;      // bytes, of ImageInfo::memory
  std::int64_t max_file_bytes = std::int64_t{1} << 30;  // for those who read files
};

// What a picture's header says.
struct ImageInfo {
  std::int64_t width = 0;  // pixels, as stored
  std::int64_t height = 0;
  int orientation = 1;     // EXIF's, 1 to 8: how the stored rows lie in the upright picture
  std::size_t memory = 0;  // bytes that decoding holds, beside a few rows
};

// The rows of one picture, once.
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
  // Places so far where the file is damaged and the decoder went on.
  virtual std::int64_t warnings() const { return 0; }

 protected:
  ImageReader() = default;
  ImageInfo info_;
};

// A picture in memory: 8-bit RGB, rows from top to bottom.
struct Image {
  std::int64_t width = 0;  // pixels
  std::int64_t height = 0;
  std::vector<std::uint8_t> rgb;  // [height, width, 3]
};

// Opens a picture of any known format, told apart by its first bytes: JPEG, PNG, WebP, GIF and,
// where the library was built with libheif, HEIC and AVIF. `bytes` must outlive the reader; `name`
// stands for the picture in messages. Throws Error if the data is empty, of another format,
// damaged, truncated, or beyond the limits of `options`.
std::unique_ptr<ImageReader> open_image(std::span<const std::byte> bytes, std::string_view name,
                                        const ImageOptions& options = {});

// Reads what is in memory already, such as a camera's frame. `image` must outlive the reader.
// Throws Error if its sizes do not fit its bytes.
std::unique_ptr<ImageReader> open_pixels(const Image& image);

// All rows, as the file stores them. Throws Error as the reader does.
Image read_whole(ImageReader& reader);

// A file's bytes, for open_image. Throws Error if it cannot be read or has more than `max_bytes`.
std::vector<std::byte> read_image_file(const std::filesystem::path& file,
                                       std::int64_t max_bytes = ImageOptions{}.max_file_bytes);

// A picture in 32 x 32 grey fields, to see whether a camera's view has changed.
struct Thumbnail {
  static constexpr std::int64_t kSide = 32;
  std::array<float, kSide * kSide> fields{};  // mean brightness in 0..255

  // The mean difference of two fields, in 0..255.
  double difference(const Thumbnail& other) const;
};

// A picture as the encoder sees it, and what is known of it: made once, by Engine::prepare, and
// only read afterwards. Copies share the pixels.
struct Picture {
  Pixels pixels{};  // [side, side, 3]
  std::int64_t side = 0;
  Hash128 hash{};             // of the pixels: equal pictures share cached work
  Thumbnail thumbnail{};      // of the part that shows the picture
  std::int64_t warnings = 0;  // ImageReader::warnings
  double seconds = 0;         // that decoding and resizing took
};

}  // namespace fvlm
