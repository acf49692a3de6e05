// Chooses a picture's reader by the file's first bytes.
#include <cstring>

#include "kernels/support/make_error.hpp"
#include "runtime/image/formats.hpp"

namespace fvlm {
namespace {

using namespace std::string_view_literals;

bool has_text_at(std::span<const std::byte> bytes, std::size_t offset, std::string_view text) {
  return bytes.size() >= offset + text.size() &&
         std::memcmp(bytes.data() + offset, text.data(), text.size()) == 0;
}

}  // namespace

std::unique_ptr<ImageReader> open_image(std::span<const std::byte> bytes, std::string_view name,
                                        const ImageOptions& options) {
  if (bytes.empty()) throw make_error("{}: empty, not an image", name);
  if (has_text_at(bytes, 0, "\xff\xd8\xff"sv)) {
    return image_formats::open_jpeg(bytes, name, options);
  }
  if (has_text_at(bytes, 0, "\x89PNG\r\n\x1a\n"sv)) {
    return image_formats::open_png(bytes, name, options);
  }
  if (has_text_at(bytes, 0, "RIFF"sv) && has_text_at(bytes, 8, "WEBP"sv)) {
    return image_formats::open_webp(bytes, name, options);
  }
  if (has_text_at(bytes, 0, "GIF8"sv)) return image_formats::open_gif(bytes, name, options);
  if (!image_formats::heif_kind(bytes).empty()) {
    return image_formats::open_heif(bytes, name, options);
  }
  throw image_formats::foreign_error(bytes, name);
}

}  // namespace fvlm
