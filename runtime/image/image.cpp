#include "fvlm/image.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "kernels/support/make_error.hpp"

namespace fvlm {
namespace {

class PixelReader final : public ImageReader {
 public:
  explicit PixelReader(const Image& image) : rest_(image.rgb.data()) {
    info_.width = image.width;
    info_.height = image.height;
  }

  void read_row(std::uint8_t* rgb) override {
    const auto bytes = static_cast<std::size_t>(3 * info_.width);
    std::memcpy(rgb, rest_, bytes);
    rest_ += bytes;
  }

 private:
  const std::uint8_t* rest_;
};

}  // namespace

std::unique_ptr<ImageReader> open_pixels(const Image& image) {
  if (image.width < 1 || image.height < 1 ||
      std::ssize(image.rgb) / 3 / image.width != image.height ||
      std::ssize(image.rgb) != image.width * image.height * 3) {
    throw make_error("an image says it has {}x{} pixels of 3 bytes each, but has {} bytes",
                     image.width, image.height, image.rgb.size());
  }
  return std::make_unique<PixelReader>(image);
}

Image read_whole(ImageReader& reader) {
  Image image{reader.info().width, reader.info().height, {}};
  const auto row_bytes = static_cast<std::size_t>(3 * image.width);
  image.rgb.resize(row_bytes * static_cast<std::size_t>(image.height));
  for (std::uint8_t* row = image.rgb.data(); row != image.rgb.data() + image.rgb.size();
       row += row_bytes) {
    reader.read_row(row);
  }
  return image;
}

std::vector<std::byte> read_image_file(const std::filesystem::path& file, std::int64_t max_bytes) {
  const auto cannot_read = [&] {
    return make_error("{}: cannot read the image: {}", file.string(), std::strerror(errno));
  };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream(std::fopen(file.c_str(), "rb"),
                                                               &std::fclose);
  if (stream == nullptr) throw cannot_read();
  // Of a file whose size is known nothing is copied twice; pipes have none.
  std::vector<std::byte> bytes;
  struct stat status {};
  if (::fstat(::fileno(stream.get()), &status) == 0 && S_ISREG(status.st_mode)) {
    bytes.reserve(static_cast<std::size_t>(std::min<std::int64_t>(status.st_size, max_bytes)));
  }
  std::array<std::byte, 1 << 16> block;
  while (const std::size_t count = std::fread(block.data(), 1, block.size(), stream.get())) {
    bytes.insert(bytes.end(), block.begin(), block.begin() + static_cast<std::ptrdiff_t>(count));
    if (std::cmp_greater(bytes.size(), max_bytes)) {
      throw make_error("{}: larger than the {} bytes accepted for an image", file.string(),
                       max_bytes);
    }
  }
  if (std::ferror(stream.get()) != 0) throw cannot_read();
  return bytes;
}

}  // namespace fvlm
