// Pictures in memory: 8-bit RGB, rows from top to bottom.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "runtime/image/reader.hpp"

namespace fvlm {

struct Image {
  std::int64_t width = 0;
  std::int64_t height = 0;
  std::vector<std::uint8_t> rgb;  // [height, width, 3]
};

// Reads what is in memory already, such as a camera's frame. `image` must outlive the reader.
// Throws Error if its sizes do not fit its bytes.
std::unique_ptr<ImageReader> open_pixels(const Image& image);

// All rows, as the file stores them. Throws Error as the reader does.
Image read_whole(ImageReader& reader);

// A file's bytes, for open_image. Throws Error if it cannot be read or has more than `max_bytes`.
std::vector<std::byte> read_image_file(const std::filesystem::path& file,
                                       std::int64_t max_bytes = ImageOptions{}.max_file_bytes);

}  // namespace fvlm
