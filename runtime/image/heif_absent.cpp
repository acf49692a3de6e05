// Stands in for heif.cpp where libheif or its decoders were not found at build time.
#include "kernels/support/make_error.hpp"
#include "runtime/image/formats.hpp"

namespace fvlm::image_formats {

const std::string_view kReadableFormats = "JPEG, PNG, WebP and GIF";

std::unique_ptr<ImageReader> open_heif(Bytes bytes, std::string_view name, const ImageOptions&) {
  throw make_error(
      "{}: {} pictures are not read by this build: convert it to JPEG or PNG, or build fastvlm "
      "where libheif-dev, libdav1d-dev and libde265-dev are installed",
      name, heif_kind(bytes));
}

}  // namespace fvlm::image_formats
