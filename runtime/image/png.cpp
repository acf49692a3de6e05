// PNG through libpng: every bit depth and color type becomes 8-bit RGB. Palettes are looked up,
// 1 to 4 bit gray is scaled to 255, of 16 bits the high byte stays, and the background shows where
// alpha or tRNS say so. Rows are decoded one by one; only an interlaced file is held as a whole.
//
// Like Pillow we need the pixels and their checksum, but neither IDAT's CRC nor what follows them.
//
// Errors leave libpng as they leave libjpeg (see jpeg.cpp): a jump back to `run` over C
// frames, callbacks and steps, none of which hold an object with a destructor.
#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/support/make_error.hpp"
#include "runtime/image/background.hpp"
#include "runtime/image/exif.hpp"
#include "runtime/image/formats.hpp"
#include "runtime/image/limits.hpp"

namespace fvlm::image_formats {
namespace {

// Owns what libpng allocates.
struct PngDecoder {
  png_structp png = nullptr;
  png_infop info = nullptr;

  PngDecoder() = default;
  ~PngDecoder() { png_destroy_read_struct(&png, &info, nullptr); }
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;
};

std::size_t number_at(Bytes bytes, std::size_t offset) {
  std::size_t number = 0;
  for (const std::byte byte : bytes.subspan(offset, 4)) {
    number = number << 8 | std::to_integer<std::size_t>(byte);
  }
  return number;
}

// Width and height stand at a fixed place: they can be checked however little of the file follows.
void check_header(Bytes file, std::string_view name, const ImageOptions& options) {
  constexpr std::size_t kWidthOffset = 16;
  constexpr std::size_t kHeightOffset = 20;
  if (file.size() < kHeightOffset + 4) throw make_error("{}: truncated PNG (no header)", name);
  check_size({.width = static_cast<std::int64_t>(number_at(file, kWidthOffset)),
              .height = static_cast<std::int64_t>(number_at(file, kHeightOffset))},
             name, options);
}

// The content of the first chunk of a type, which may stand behind the pixels. Empty if there is
// none.
Bytes find_chunk(Bytes file, std::string_view type) {
  constexpr std::size_t kSignature = 8;
  constexpr std::size_t kHead = 8;  // length and type
  constexpr std::size_t kCrc = 4;
  for (Bytes rest = file.subspan(kSignature); rest.size() >= kHead;) {
    const std::size_t length = number_at(rest, 0);
    if (length > rest.size() - kHead) break;
    if (std::memcmp(rest.data() + 4, type.data(), type.size()) == 0) {
      return rest.subspan(kHead, length);
    }
    rest = rest.subspan(std::min(kHead + length + kCrc, rest.size()));
  }
  return {};
}

class PngReader final : public ImageReader {
 public:
  PngReader(Bytes bytes, std::string_view name, const ImageOptions& options)
      : rest_(bytes), name_(name), background_(options.background) {
    run([](PngReader& self) { self.read_header(); });
    info_.width = png_get_image_width(decoder_.png, decoder_.info);
    info_.height = png_get_image_height(decoder_.png, decoder_.info);
    if (options.apply_orientation) info_.orientation = exif_orientation(find_chunk(bytes, "eXIf"));
    run([](PngReader& self) { self.choose_layout(); });
    if (passes_ > 1) info_.memory = row_bytes_ * static_cast<std::size_t>(info_.height);
    check_size(info_, name_, options);
    pixels_.resize(passes_ > 1 ? info_.memory : row_bytes_);
  }

  void read_row(std::uint8_t* rgb) override {
    run([](PngReader& self) { self.read_pixels(); });
    const std::uint8_t* row = pixels_.data();
    if (passes_ > 1) row += row_bytes_ * static_cast<std::size_t>(rows_read_);
    ++rows_read_;
    if (channels_ == 4) {
      show_background(row, info_.width, background_, rgb);
    } else {
      std::memcpy(rgb, row, row_bytes_);
    }
    if (rows_read_ == info_.height) finish();
  }

 private:
  // Calls a step and throws what libpng reported in it.
  void run(void (*step)(PngReader&)) {
    if (setjmp(failed_) != 0) {
      throw make_error("{}: {} PNG ({})", name_, is_truncated_ ? "truncated" : "cannot decode this",
                       message_);
    }
    step(*this);
  }

  [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
    auto& self = *static_cast<PngReader*>(png_get_error_ptr(png));
    std::snprintf(self.message_, sizeof self.message_, "%s", message);
    self.is_truncated_ |= std::strcmp(message, "Not enough image data") == 0;
    std::longjmp(self.failed_, 1);
  }

  // Most warnings concern chunks that do not change the pixels we read. zlib's on its checksum
  // comes as one, too.
  static void on_warning(png_structp png, png_const_charp message) {
    auto& self = *static_cast<PngReader*>(png_get_error_ptr(png));
    if (std::strstr(message, "incorrect data check") != nullptr) self.checksum_fails_ = true;
  }

  static void on_read(png_structp png, png_bytep data, std::size_t size) {
    auto& self = *static_cast<PngReader*>(png_get_io_ptr(png));
    if (size > self.rest_.size()) {
      self.is_truncated_ = true;
      png_error(png, "the data ends early");
    }
    std::memcpy(data, self.rest_.data(), size);
    self.rest_ = self.rest_.subspan(size);
  }

  void read_header() {
    png_structp& png = decoder_.png;
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, &on_error, &on_warning);
    decoder_.info = png_create_info_struct(png);
    png_set_read_fn(png, this, &on_read);
    // Skips every chunk that cannot change the pixels: profiles, texts, times.
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
    png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_read_info(png, decoder_.info);
    png_set_crc_action(png, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);
  }

  void choose_layout() {
    png_set_expand(decoder_.png);
    png_set_strip_16(decoder_.png);
    png_set_gray_to_rgb(decoder_.png);
    passes_ = png_set_interlace_handling(decoder_.png);
    png_read_update_info(decoder_.png, decoder_.info);
    channels_ = png_get_channels(decoder_.png, decoder_.info);
    row_bytes_ = png_get_rowbytes(decoder_.png, decoder_.info);
    if (channels_ < 3 || row_bytes_ != static_cast<std::size_t>(info_.width) * channels_) {
      png_error(decoder_.png, "unknown pixel layout");
    }
  }

  void read_pixels() {
    if (passes_ == 1) {
      png_read_row(decoder_.png, pixels_.data(), nullptr);
      return;
    }
    if (rows_read_ > 0) return;
    for (int pass = 0; pass < passes_; ++pass) {
      for (std::int64_t y = 0; y < info_.height; ++y) {
        png_read_row(decoder_.png, pixels_.data() + row_bytes_ * static_cast<std::size_t>(y),
                     nullptr);
      }
    }
  }

  // Of what follows the pixels only their checksum counts.
  void finish() {
    if (setjmp(failed_) == 0) png_read_end(decoder_.png, nullptr);
    if (checksum_fails_) {
      throw make_error("{}: cannot decode this PNG (the checksum of its pixels is wrong)", name_);
    }
  }

  Bytes rest_;  // what is still to be read
  std::string name_;
  std::array<std::uint8_t, 3> background_;
  PngDecoder decoder_;
  std::jmp_buf failed_ = {};
  char message_[256] = {};
  bool is_truncated_ = false;
  bool checksum_fails_ = false;
  int passes_ = 1;
  std::size_t channels_ = 0;   // 3, or 4 with alpha
  std::size_t row_bytes_ = 0;  // of `channels_` bytes a pixel
  std::int64_t rows_read_ = 0;
  std::vector<std::uint8_t> pixels_;  // one row, or of an interlaced file all
};

}  // namespace

std::unique_ptr<ImageReader> open_png(Bytes bytes, std::string_view name,
                                      const ImageOptions& options) {
  check_header(bytes, name, options);
  return std::make_unique<PngReader>(bytes, name, options);
}

}  // namespace fvlm::image_formats
