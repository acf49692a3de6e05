// JPEG through libjpeg-turbo with its default settings (exact integer DCT, smooth chroma
// upsampling), which are Pillow's too. Rows are decoded one by one; only a file in several scans,
// as progressive ones are, is held as a whole, in coefficients.
//
// Like Pillow we go on where libjpeg warns of damage, refuse a file that ends before its pixels do,
// and do not look at what follows them.
//
// libjpeg reports an error by calling a function that must not return. Ours notes the message in
// the reader and jumps back to `run`. Only C frames, our callbacks and a step passed to `run` lie
// between; steps hold no object with a destructor, so the jump is an ordinary one in C++ as well.
#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

// These two rely on what is included before them.
#include <jpeglib.h>

#include <jerror.h>

#include "kernels/support/make_error.hpp"
#include "runtime/image/exif.hpp"
#include "runtime/image/formats.hpp"
#include "runtime/image/limits.hpp"

namespace fvlm::image_formats {
namespace {

using namespace std::string_view_literals;

constexpr int kExifMarker = JPEG_APP0 + 1;
constexpr std::string_view kExifText = "Exif\0\0"sv;  // other data has this marker, too

// A small file can have thousands of scans, each of which goes over the whole picture. Encoders
// make about ten.
int most_scans(const ImageInfo& info) {
  constexpr std::int64_t kMostPixels = std::int64_t{1} << 30;  // of all scans together
  return static_cast<int>(
      std::clamp<std::int64_t>(kMostPixels / (info.width * info.height), 16, 64));
}

// Owns what libjpeg allocates.
struct JpegDecoder : jpeg_decompress_struct {
  JpegDecoder() : jpeg_decompress_struct{} {}
  ~JpegDecoder() { jpeg_destroy_decompress(this); }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;
};

class JpegReader final : public ImageReader {
 public:
  JpegReader(Bytes bytes, std::string_view name, const ImageOptions& options)
      : bytes_(bytes), name_(name) {
    run([](JpegReader& self) { self.read_header(); });
    info_.width = jpeg_.image_width;
    info_.height = jpeg_.image_height;
    if (options.apply_orientation) info_.orientation = orientation();
    choose_colors();
    info_.memory = coefficient_bytes();
    check_size(info_, name_, options);
    most_scans_ = most_scans(info_);
  }

  void read_row(std::uint8_t* rgb) override {
    row_ = rgb;
    run([](JpegReader& self) { self.read_pixels(); });
    if (!cmyk_row_.empty()) convert_cmyk_row(rgb);
  }

  std::int64_t warnings() const override { return errors_.num_warnings; }

 private:
  static JpegReader& owner(j_common_ptr jpeg) {
    return *static_cast<JpegReader*>(jpeg->client_data);
  }

  // Calls a step and throws what libjpeg reported in it.
  void run(void (*step)(JpegReader&)) {
    if (setjmp(failed_) != 0) {
      throw make_error("{}: {} JPEG ({})", name_,
                       is_truncated_ ? "truncated" : "cannot decode this", message_);
    }
    step(*this);
  }

  [[noreturn]] static void on_error(j_common_ptr jpeg) {
    JpegReader& self = owner(jpeg);
    const int code = jpeg->err->msg_code;
    self.is_truncated_ = code == JWRN_JPEG_EOF || code == JERR_INPUT_EOF;
    jpeg->err->format_message(jpeg, self.message_);
    std::longjmp(self.failed_, 1);
  }

  // Negative levels are warnings about damaged data, the others are news.
  static void on_message(j_common_ptr jpeg, int level) {
    if (level >= 0) return;
    if (jpeg->err->msg_code == JWRN_JPEG_EOF) on_error(jpeg);
    ++jpeg->err->num_warnings;
  }

  static void on_progress(j_common_ptr jpeg) {
    JpegReader& self = owner(jpeg);
    if (self.jpeg_.input_scan_number <= self.most_scans_) return;
    std::snprintf(self.message_, sizeof self.message_, "more than %d scans", self.most_scans_);
    std::longjmp(self.failed_, 1);
  }

  void read_header() {
    jpeg_.err = jpeg_std_error(&errors_);
    errors_.error_exit = &on_error;
    errors_.emit_message = &on_message;
    jpeg_.client_data = this;  // jpeg_create_decompress keeps this and err
    jpeg_create_decompress(&jpeg_);
    progress_.progress_monitor = &on_progress;
    jpeg_.progress = &progress_;
    jpeg_save_markers(&jpeg_, kExifMarker, 0xFFFF);
    jpeg_mem_src(&jpeg_, reinterpret_cast<const unsigned char*>(bytes_.data()), bytes_.size());
    jpeg_read_header(&jpeg_, TRUE);
  }

  int orientation() const {
    for (const jpeg_marker_struct* marker = jpeg_.marker_list; marker != nullptr;
         marker = marker->next) {
      const Bytes data(reinterpret_cast<const std::byte*>(marker->data), marker->data_length);
      if (data.size() >= kExifText.size() &&
          std::memcmp(data.data(), kExifText.data(), kExifText.size()) == 0) {
        return exif_orientation(data);
      }
    }
    return 1;
  }

  void choose_colors() {
    if (jpeg_.data_precision != 8) {
      throw make_error("{}: a JPEG of {} bits a sample, only 8 are supported", name_,
                       jpeg_.data_precision);
    }
    switch (jpeg_.jpeg_color_space) {
      case JCS_GRAYSCALE:
      case JCS_RGB:
      case JCS_YCbCr:
        jpeg_.out_color_space = JCS_RGB;
        return;
      case JCS_CMYK:
      case JCS_YCCK:
        jpeg_.out_color_space = JCS_CMYK;
        cmyk_row_.resize(std::size_t{jpeg_.image_width} * 4);
        return;
      default:
        throw make_error("{}: a JPEG of {} color components, only 1, 3 and 4 are supported", name_,
                         jpeg_.num_components);
    }
  }

  std::size_t coefficient_bytes() {
    if (jpeg_has_multiple_scans(&jpeg_) == FALSE) return 0;
    std::size_t bytes = 0;
    for (int i = 0; i < jpeg_.num_components; ++i) {
      const jpeg_component_info& component = jpeg_.comp_info[i];
      bytes += std::size_t{component.width_in_blocks} * component.height_in_blocks * sizeof(JBLOCK);
    }
    return bytes;
  }

  void read_pixels() {
    if (!started_) jpeg_start_decompress(&jpeg_);
    started_ = true;
    JSAMPROW row = cmyk_row_.empty() ? row_ : cmyk_row_.data();
    jpeg_read_scanlines(&jpeg_, &row, 1);
  }

  // Inks are stored inverted (255 is none), as Adobe's programs do; like Pillow we take this for
  // granted, marker or not. Light left by an ink c under black k: k - (255 - c) * k / 255, rounded.
  void convert_cmyk_row(std::uint8_t* out) const {
    for (std::size_t x = 0; x < jpeg_.image_width; ++x) {
      const int black = cmyk_row_[x * 4 + 3];
      for (std::size_t c = 0; c < 3; ++c) {
        const int scaled = (255 - cmyk_row_[x * 4 + c]) * black + 128;
        const int absorbed = (scaled + (scaled >> 8)) >> 8;  // exact rounding of / 255
        out[x * 3 + c] = static_cast<std::uint8_t>(std::max(black - absorbed, 0));
      }
    }
  }

  Bytes bytes_;
  std::string name_;
  JpegDecoder jpeg_;
  jpeg_error_mgr errors_ = {};
  jpeg_progress_mgr progress_ = {};
  std::jmp_buf failed_ = {};
  char message_[JMSG_LENGTH_MAX] = {};
  bool is_truncated_ = false;
  bool started_ = false;
  int most_scans_ = 0;
  std::vector<std::uint8_t> cmyk_row_;  // [width, 4], empty for other colors
  std::uint8_t* row_ = nullptr;         // [width, 3]
};

}  // namespace

std::unique_ptr<ImageReader> open_jpeg(Bytes bytes, std::string_view name,
                                       const ImageOptions& options) {
  return std::make_unique<JpegReader>(bytes, name, options);
}

}  // namespace fvlm::image_formats
