// PNG through libpng: every bit depth and color type becomes 8-bit RGB. Palettes are looked up,
// 1 to 4 bit gray is scaled to 255, of 16 bits the high byte stays, alpha is dropped.
//
// Errors leave libpng as they leave libjpeg (see image_jpeg.cpp): a jump back to `run` over C
// frames, callbacks and steps, none of which hold an object with a destructor.
#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>

#include "fvlm/core/error.hpp"
#include "runtime/image_formats.hpp"

namespace fvlm::image_formats {
namespace {

class PngDecoder {
 public:
  PngDecoder(Bytes bytes, std::string_view name, const ImageLimits& limits)
      : bytes_(bytes), name_(name), limits_(limits) {}
  ~PngDecoder() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;

  Image decode() {
    run([](PngDecoder& self) { self.read_header(); });
    Image image = blank_image(png_get_image_width(png_, info_), png_get_image_height(png_, info_),
                              name_, limits_);
    rgb_ = image.rgb.data();
    run([](PngDecoder& self) { self.read_pixels(); });
    return image;
  }

 private:
  // Calls a step and throws what libpng reported in it.
  void run(void (*step)(PngDecoder&)) {
    if (setjmp(failed_) != 0) {
      throw Error("{}: {} PNG ({})", name_, is_truncated_ ? "truncated" : "cannot decode this",
                  message_);
    }
    step(*this);
  }

  [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
    auto& self = *static_cast<PngDecoder*>(png_get_error_ptr(png));
    std::snprintf(self.message_, sizeof self.message_, "%s", message);
    std::longjmp(self.failed_, 1);
  }

  // Warnings concern chunks that do not change the pixels we read.
  static void on_warning(png_structp, png_const_charp) {}

  static void on_read(png_structp png, png_bytep data, std::size_t size) {
    auto& self = *static_cast<PngDecoder*>(png_get_io_ptr(png));
    if (size > self.bytes_.size()) {
      self.is_truncated_ = true;
      png_error(png, "the data ends early");
    }
    std::memcpy(data, self.bytes_.data(), size);
    self.bytes_ = self.bytes_.subspan(size);
  }

  void read_header() {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, &on_error, &on_warning);
    info_ = png_create_info_struct(png_);
    png_set_read_fn(png_, this, &on_read);
    // Skips every chunk that cannot change the pixels: profiles, texts, times.
    png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
    png_read_info(png_, info_);
  }

  void read_pixels() {
    png_set_expand(png_);
    png_set_strip_16(png_);
    png_set_strip_alpha(png_);
    png_set_gray_to_rgb(png_);
    const int passes = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    const std::size_t row_bytes = png_get_rowbytes(png_, info_);
    const std::size_t height = png_get_image_height(png_, info_);
    if (row_bytes != std::size_t{png_get_image_width(png_, info_)} * 3) {
      png_error(png_, "unknown pixel layout");
    }
    for (int pass = 0; pass < passes; ++pass) {
      for (std::size_t y = 0; y < height; ++y) png_read_row(png_, rgb_ + y * row_bytes, nullptr);
    }
    png_read_end(png_, nullptr);  // checks what follows the pixels: a cut there is found too
  }

  Bytes bytes_;  // what is still to be read
  std::string_view name_;
  const ImageLimits& limits_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::jmp_buf failed_ = {};
  char message_[256] = {};
  bool is_truncated_ = false;
  std::uint8_t* rgb_ = nullptr;  // [height, width, 3]
};

// The size stands at a fixed place of the first chunk. Taken from there, it can be checked however
// little of the file follows.
std::int64_t big_endian_at(Bytes bytes, std::size_t offset) {
  std::int64_t value = 0;
  for (const std::byte byte : bytes.subspan(offset, 4))
    value = value << 8 | std::to_integer<int>(byte);
  return value;
}

}  // namespace

Image decode_png(Bytes bytes, std::string_view name, const ImageLimits& limits) {
  constexpr std::size_t kWidthOffset = 16;
  constexpr std::size_t kHeightOffset = 20;
  if (bytes.size() < kHeightOffset + 4) throw Error("{}: truncated PNG (no header)", name);
  check_size(big_endian_at(bytes, kWidthOffset), big_endian_at(bytes, kHeightOffset), name, limits);
  return PngDecoder(bytes, name, limits).decode();
}

}  // namespace fvlm::image_formats
