// Pictures row by row, as their files store them: JPEG and PNG need no more memory than a few rows,
// however large they are. What a picture costs is known from its header, before any of it is spent.
//
// Pixels are 8-bit RGB and equal those of Pillow's `Image.open(file).convert("RGB")`, but for
// these:
//   - what is transparent shows the background colour;
//   - 16-bit gray keeps the high byte of each sample, as 16-bit colour does, where Pillow turns
//     every value above 255 white.
// Of an animation the first frame counts; gamma and colour profiles are ignored.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace fvlm {

struct ImageOptions {
  bool apply_orientation = true;  // turn it as its EXIF data says; else as it is stored
  std::array<std::uint8_t, 3> background = {255, 255, 255};  // RGB, behind what is transparent

  // What it may cost.
  std::int64_t max_pixels = std::int64_t{256} << 20;
  std::size_t max_memory = std::size_t{512} << 20;      // bytes, of ImageInfo::memory
  std::int64_t max_file_bytes = std::int64_t{1} << 30;  // read by load_image at most
};

struct ImageInfo {
  std::int64_t width = 0;  // as stored
  std::int64_t height = 0;
  int orientation = 1;     // EXIF's, 1 to 8: how the stored rows lie in the upright picture
  std::size_t memory = 0;  // bytes that decoding holds, beside a few rows
};

class ImageReader {
 public:
  virtual ~ImageReader() = default;
  ImageReader(const ImageReader&) = delete;
  ImageReader& operator=(const ImageReader&) = delete;

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

// Opens a picture of any known format, told apart by its first bytes. `bytes` must outlive the
// reader; `name` stands for the picture in messages. Throws Error if the data is empty, of another
// format, damaged, truncated, or beyond the limits of `options`.
std::unique_ptr<ImageReader> open_image(std::span<const std::byte> bytes, std::string_view name,
                                        const ImageOptions& options = {});

}  // namespace fvlm
