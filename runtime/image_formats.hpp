// The decoders behind decode_image, one for each format. Each reads the header, has the size found
// there checked against the limits, and only then decodes pixels. The C libraries report errors by
// longjmp or by status; these functions turn both into Error, and nothing with a destructor is ever
// jumped over.
#pragma once

#include <memory>

#include "fvlm/core/error.hpp"
#include "runtime/image.hpp"
#include "runtime/image_reader.hpp"

namespace fvlm::image_formats {

using Bytes = std::span<const std::byte>;

Image decode_jpeg(Bytes bytes, std::string_view name, const ImageLimits& limits);
Image decode_png(Bytes bytes, std::string_view name, const ImageLimits& limits);
Image decode_webp(Bytes bytes, std::string_view name, const ImageLimits& limits);
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

// Throws Error if a picture of this size is beyond the limits.
void check_size(std::int64_t width, std::int64_t height, std::string_view name,
                const ImageLimits& limits);

// A black picture of this size, after check_size.
Image blank_image(std::int64_t width, std::int64_t height, std::string_view name,
                  const ImageLimits& limits);

}  // namespace fvlm::image_formats
