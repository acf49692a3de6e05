// Pictures as the engine sees them: 8-bit RGB, rows from top to bottom, decoded from JPEG, PNG or
// WebP. The bytes equal those of Pillow's `Image.open(file).convert("RGB")`, which the model's
// reference preprocessing starts from, with these consequences:
//   - alpha is dropped, not blended; of an animation the first frame counts;
//   - a camera's EXIF orientation is not applied;
//   - gamma and colour profiles are ignored.
// The one deliberate difference: 16-bit gray keeps the high byte of each sample, as 16-bit colour
// does, where Pillow turns every value above 255 white.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace fvlm {

struct Image {
  std::int64_t width = 0;
  std::int64_t height = 0;
  std::vector<std::uint8_t> rgb;  // [height, width, 3]
};

// What a picture may cost. Sizes are taken from the header, before any pixel is decoded.
struct ImageLimits {
  std::int64_t max_pixels = std::int64_t{16} << 20;       // 4096 x 4096
  std::int64_t max_side = 8192;                           // pixels
  std::int64_t max_file_bytes = std::int64_t{256} << 20;  // read by load_image at most
  int max_progressive_scans = 64;   // a small JPEG with thousands of scans takes seconds
  bool warnings_are_errors = true;  // refuse JPEG data that libjpeg could only guess at
};

// Decodes a JPEG, PNG or WebP picture, told apart by its first bytes. `name` stands for the picture
// in messages. Throws Error if the data is empty, of another format, damaged, truncated, or beyond
// `limits`.
Image decode_image(std::span<const std::byte> bytes, std::string_view name,
                   const ImageLimits& limits = {});

// Reads and decodes a file. Throws Error as decode_image does, and if the file cannot be read.
Image load_image(const std::filesystem::path& file, const ImageLimits& limits = {});

}  // namespace fvlm
