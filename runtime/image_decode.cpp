// Chooses the decoder by a file's first bytes, and reads files.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

#include "fvlm/core/error.hpp"
#include "runtime/image_formats.hpp"

namespace fvlm {
namespace {

using namespace std::string_view_literals;

bool has_text_at(std::span<const std::byte> bytes, std::size_t offset, std::string_view text) {
  return bytes.size() >= offset + text.size() &&
         std::memcmp(bytes.data() + offset, text.data(), text.size()) == 0;
}

std::vector<std::byte> read_file(const std::filesystem::path& file, std::int64_t max_bytes) {
  const auto cannot_read = [&] {
    return Error("{}: cannot read the image: {}", file.string(), std::strerror(errno));
  };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream(std::fopen(file.c_str(), "rb"),
                                                               &std::fclose);
  if (stream == nullptr) throw cannot_read();
  // The size is not asked for beforehand: pipes have none.
  std::vector<std::byte> bytes;
  std::array<std::byte, 1 << 16> block;
  while (const std::size_t count = std::fread(block.data(), 1, block.size(), stream.get())) {
    bytes.insert(bytes.end(), block.begin(), block.begin() + static_cast<std::ptrdiff_t>(count));
    if (std::cmp_greater(bytes.size(), max_bytes)) {
      throw Error("{}: larger than the {} bytes accepted for an image", file.string(), max_bytes);
    }
  }
  if (std::ferror(stream.get()) != 0) throw cannot_read();
  return bytes;
}

}  // namespace

namespace image_formats {

void check_size(std::int64_t width, std::int64_t height, std::string_view name,
                const ImageLimits& limits) {
  if (width < 1 || height < 1) throw Error("{}: {}x{} pixels, nothing to see", name, width, height);
  if (std::max(width, height) > limits.max_side || width * height > limits.max_pixels) {
    throw Error("{}: {}x{} pixels, at most {} a side and {} in all are accepted", name, width,
                height, limits.max_side, limits.max_pixels);
  }
}

Image blank_image(std::int64_t width, std::int64_t height, std::string_view name,
                  const ImageLimits& limits) {
  check_size(width, height, name, limits);
  return {width, height, std::vector<std::uint8_t>(static_cast<std::size_t>(width * height * 3))};
}

}  // namespace image_formats

Image decode_image(std::span<const std::byte> bytes, std::string_view name,
                   const ImageLimits& limits) {
  if (bytes.empty()) throw Error("{}: empty, not an image", name);
  if (has_text_at(bytes, 0, "\xff\xd8\xff"sv)) {
    return image_formats::decode_jpeg(bytes, name, limits);
  }
  if (has_text_at(bytes, 0, "\x89PNG\r\n\x1a\n"sv)) {
    return image_formats::decode_png(bytes, name, limits);
  }
  if (has_text_at(bytes, 0, "RIFF"sv) && has_text_at(bytes, 8, "WEBP"sv)) {
    return image_formats::decode_webp(bytes, name, limits);
  }
  throw Error("{}: not a JPEG, PNG or WebP image", name);
}

Image load_image(const std::filesystem::path& file, const ImageLimits& limits) {
  return decode_image(read_file(file, limits.max_file_bytes), file.string(), limits);
}

}  // namespace fvlm
