// JPEG through libjpeg-turbo with its default settings (exact integer DCT, smooth chroma
// upsampling), which are Pillow's too.
//
// libjpeg reports an error by calling a function that must not return. Ours notes the message in
// the decoder and jumps back to `run`. Only C frames, our callbacks and a step passed to `run` lie
// between; steps hold no object with a destructor, so the jump is an ordinary one in C++ as well.
#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdio>

// These two rely on what is included before them.
#include <jpeglib.h>

#include <jerror.h>

#include "fvlm/core/error.hpp"
#include "runtime/image_formats.hpp"

namespace fvlm::image_formats {
namespace {

class JpegDecoder {
 public:
  JpegDecoder(Bytes bytes, std::string_view name, const ImageLimits& limits)
      : bytes_(bytes), name_(name), limits_(limits) {}
  ~JpegDecoder() { jpeg_destroy_decompress(&info_); }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  Image decode() {
    run([](JpegDecoder& self) { self.read_header(); });
    Image image = blank_image(info_.image_width, info_.image_height, name_, limits_);
    choose_colors();
    rgb_ = image.rgb.data();
    run([](JpegDecoder& self) { self.read_pixels(); });
    return image;
  }

 private:
  static JpegDecoder& owner(j_common_ptr info) {
    return *static_cast<JpegDecoder*>(info->client_data);
  }

  // Calls a step and throws what libjpeg reported in it.
  void run(void (*step)(JpegDecoder&)) {
    if (setjmp(failed_) != 0) {
      throw Error("{}: {} JPEG ({})", name_, is_truncated_ ? "truncated" : "cannot decode this",
                  message_);
    }
    step(*this);
  }

  [[noreturn]] static void on_error(j_common_ptr info) {
    JpegDecoder& self = owner(info);
    const int code = info->err->msg_code;
    self.is_truncated_ = code == JWRN_JPEG_EOF || code == JERR_INPUT_EOF;
    info->err->format_message(info, self.message_);
    std::longjmp(self.failed_, 1);
  }

  // Negative levels are warnings about damaged data, the others are news.
  static void on_message(j_common_ptr info, int level) {
    if (level < 0 && owner(info).limits_.warnings_are_errors) on_error(info);
  }

  static void on_progress(j_common_ptr info) {
    JpegDecoder& self = owner(info);
    if (self.info_.input_scan_number <= self.limits_.max_progressive_scans) return;
    std::snprintf(self.message_, sizeof self.message_, "more than %d scans",
                  self.limits_.max_progressive_scans);
    std::longjmp(self.failed_, 1);
  }

  void read_header() {
    info_.err = jpeg_std_error(&errors_);
    errors_.error_exit = &on_error;
    errors_.emit_message = &on_message;
    info_.client_data = this;  // jpeg_create_decompress keeps this and err
    jpeg_create_decompress(&info_);
    progress_.progress_monitor = &on_progress;
    info_.progress = &progress_;
    jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(bytes_.data()), bytes_.size());
    jpeg_read_header(&info_, TRUE);
  }

  void choose_colors() {
    if (info_.data_precision != 8) {
      throw Error("{}: a JPEG of {} bits a sample, only 8 are supported", name_,
                  info_.data_precision);
    }
    switch (info_.jpeg_color_space) {
      case JCS_GRAYSCALE:
      case JCS_RGB:
      case JCS_YCbCr:
        info_.out_color_space = JCS_RGB;
        return;
      case JCS_CMYK:
      case JCS_YCCK:
        info_.out_color_space = JCS_CMYK;
        cmyk_row_.resize(std::size_t{info_.image_width} * 4);
        return;
      default:
        throw Error("{}: a JPEG of {} color components, only 1, 3 and 4 are supported", name_,
                    info_.num_components);
    }
  }

  void read_pixels() {
    const std::size_t row_bytes = std::size_t{info_.image_width} * 3;
    jpeg_start_decompress(&info_);
    while (info_.output_scanline < info_.output_height) {
      JSAMPROW out = rgb_ + info_.output_scanline * row_bytes;
      JSAMPROW row = cmyk_row_.empty() ? out : cmyk_row_.data();
      jpeg_read_scanlines(&info_, &row, 1);
      if (row != out) convert_cmyk_row(out);
    }
    jpeg_finish_decompress(&info_);  // reads up to the end marker: a cut there is found too
  }

  // Inks are stored inverted (255 is none), as Adobe's programs do; like Pillow we take this for
  // granted, marker or not. Light left by an ink c under black k: k - (255 - c) * k / 255, rounded.
  void convert_cmyk_row(std::uint8_t* out) const {
    for (std::size_t x = 0; x < info_.image_width; ++x) {
      const int black = cmyk_row_[x * 4 + 3];
      for (std::size_t c = 0; c < 3; ++c) {
        const int scaled = (255 - cmyk_row_[x * 4 + c]) * black + 128;
        const int absorbed = (scaled + (scaled >> 8)) >> 8;  // exact rounding of / 255
        out[x * 3 + c] = static_cast<std::uint8_t>(std::max(black - absorbed, 0));
      }
    }
  }

  Bytes bytes_;
  std::string_view name_;
  const ImageLimits& limits_;
  jpeg_decompress_struct info_ = {};
  jpeg_error_mgr errors_ = {};
  jpeg_progress_mgr progress_ = {};
  std::jmp_buf failed_ = {};
  char message_[JMSG_LENGTH_MAX] = {};
  bool is_truncated_ = false;
  std::vector<std::uint8_t> cmyk_row_;  // [width, 4], empty for other colors
  std::uint8_t* rgb_ = nullptr;         // [height, width, 3]
};

}  // namespace

Image decode_jpeg(Bytes bytes, std::string_view name, const ImageLimits& limits) {
  return JpegDecoder(bytes, name, limits).decode();
}

}  // namespace fvlm::image_formats
