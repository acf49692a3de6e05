// The readers behind open_image, one for each format. Each reads the header, has the size found
// there checked against the limits, and decodes pixels only when rows are asked for. The C
// libraries report errors by longjmp or by status; these classes turn both into Error, and nothing
// with a destructor is ever jumped over.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "fvlm/error.hpp"
#include "fvlm/image.hpp"

namespace fvlm::image_formats {

using Bytes = std::span<const std::byte>;

std::unique_ptr<ImageReader> open_jpeg(Bytes bytes, std::string_view name,
                                       const ImageOptions& options);
std::unique_ptr<ImageReader> open_png(Bytes bytes, std::string_view name,
                                      const ImageOptions& options);
std::unique_ptr<ImageReader> open_webp(Bytes bytes, std::string_view name,
                                       const ImageOptions& options);
std::unique_ptr<ImageReader> open_gif(Bytes bytes, std::string_view name,
                                      const ImageOptions& options);
std::unique_ptr<ImageReader> open_heif(Bytes bytes, std::string_view name,
                                       const ImageOptions& options);

// "HEIC" or "AVIF" if the data is a picture of that family, else empty.
std::string_view heif_kind(Bytes bytes);

// "JPEG, PNG, ..."
extern const std::string_view kReadableFormats;

// What to throw for data of another format: names it and says what to do.
Error foreign_error(Bytes bytes, std::string_view name);

}  // namespace fvlm::image_formats
