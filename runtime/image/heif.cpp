// HEIC and AVIF through libheif, which decodes a picture whole and turns it as the file says:
// EXIF's orientation, which describes the same turn, must not be applied again. What it holds is
// estimated from the header: what a decoder holds and the decoded planes, or those and the turned
// picture's, and 8-bit RGB or RGBA. The decoders hold the file to its header.
#include <libheif/heif.h>

#include <algorithm>
#include <cstring>

#include "kernels/support/make_error.hpp"
#include "runtime/image/background.hpp"
#include "runtime/image/formats.hpp"
#include "runtime/image/heif_decoders.hpp"
#include "runtime/image/limits.hpp"

namespace fvlm::image_formats {
namespace {

template <auto kRelease>
struct Release {
  template <class Object>
  void operator()(Object* object) const {
    kRelease(object);
  }
};
template <class Object, auto kRelease>
using Owned = std::unique_ptr<Object, Release<kRelease>>;

constexpr bool kLimitsSides = LIBHEIF_NUMERIC_VERSION < (1 << 24 | 19 << 16);

// Whether the data ends inside of one of the file's boxes, or before that which describes the
// picture.
bool is_cut(Bytes bytes) {
  bool has_meta = false;
  while (!bytes.empty()) {
    const auto number = [&](std::size_t at, std::size_t size) {
      std::uint64_t value = 0;
      for (; size > 0; --size) value = value << 8 | std::to_integer<std::uint64_t>(bytes[at++]);
      return value;
    };
    if (bytes.size() < 16) return true;
    std::uint64_t size = number(0, 4);
    has_meta = has_meta || std::memcmp(bytes.data() + 4, "meta", 4) == 0;
    if (size == 0) return !has_meta;  // the last one, up to the end
    if (size == 1) size = number(8, 8);
    if (size > bytes.size()) return true;
    bytes = bytes.subspan(std::max<std::size_t>(size, 8));
  }
  return !has_meta;
}

// One line of what libheif says.
std::string_view first_line(std::string_view message) {
  return message.substr(0, message.find('\n'));
}

class HeifReader final : public ImageReader {
 public:
  HeifReader(Bytes bytes, std::string_view name, const ImageOptions& options)
      : bytes_(bytes), name_(name), kind_(heif_kind(bytes)), background_(options.background) {
    if (context_ == nullptr) throw make_error("{}: libheif has no memory", name_);
    register_heif_decoders();
    heif_context_set_max_decoding_threads(context_.get(), 0);  // this one decodes
    heif_context_set_maximum_image_size_limit(context_.get(), int{kMaxSide});
    check(heif_context_read_from_memory_without_copy(context_.get(), bytes.data(), bytes.size(),
                                                     nullptr));
    heif_image_handle* handle = nullptr;
    check(heif_context_get_primary_image_handle(context_.get(), &handle));
    handle_.reset(handle);
    read_info();
    check_size(info_, name_, options);
    limit_parts(options);
  }

  void read_row(std::uint8_t* rgb) override {
    if (image_ == nullptr) decode();
    const std::uint8_t* pixel = pixels_ + row_++ * stride_;
    if (!has_alpha_) {
      std::memcpy(rgb, pixel, static_cast<std::size_t>(info_.width) * 3);
      return;
    }
    for (std::int64_t x = 0; x < info_.width; ++x, pixel += 4, rgb += 3) {
      for (std::size_t c = 0; c < 3; ++c) rgb[c] = shown(pixel[c], background_[c], pixel[3]);
    }
  }

 private:
  void check(const heif_error& error) const {
    if (error.code == heif_error_Ok) return;
    const bool is_truncated = error.subcode == heif_suberror_End_of_data || is_cut(bytes_);
    throw make_error("{}: {} {} ({})", name_, is_truncated ? "truncated" : "cannot decode this",
                     kind_, first_line(error.message));
  }

  void read_info() {
    info_.width = heif_image_handle_get_width(handle_.get());
    info_.height = heif_image_handle_get_height(handle_.get());
    has_alpha_ = heif_image_handle_has_alpha_channel(handle_.get()) != 0;
    const std::size_t channels = has_alpha_ ? 4 : 3;
    limit_.sample_bytes = heif_image_handle_get_luma_bits_per_pixel(handle_.get()) > 8 ? 2 : 1;
    limit_.pixels = largest_coded();
    const int pictures = kind_ == "AVIF" || may_have("av01") ? 4 : 2;
    info_.memory = static_cast<std::size_t>(limit_.pixels) * channels *
                   static_cast<std::size_t>(pictures * limit_.sample_bytes + 1);
  }

  // The pixels of the largest picture that is held: the whole one, of which a part may be shown, or
  // one of its tiles, which reach beyond its edges.
  std::int64_t largest_coded() const {
    const auto side = [](std::int64_t pixels) {
      return std::clamp<std::int64_t>(pixels, 0, kMaxSide);
    };
    const std::int64_t width = side(heif_image_handle_get_ispe_width(handle_.get()));
    const std::int64_t height = side(heif_image_handle_get_ispe_height(handle_.get()));
    const std::int64_t whole =
        std::max(coded_pixels(width, height), coded_pixels(side(info_.width), side(info_.height)));
    if (!may_have("grid") && !may_have("iovl")) return whole;
    constexpr std::int64_t kLargestTile = 1024;
    // Up to 1.18 libheif limits the sides alone of what it composes.
    const std::int64_t composed = kLimitsSides ? std::max(width, height) : 0;
    const std::int64_t square = std::max(composed, kLargestTile);
    return std::max(whole, coded_pixels(square, square));
  }

  // Whether the file may have items of a type, which it would name.
  bool may_have(std::string_view type) const {
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()), bytes_.size());
    return text.find(type) != text.npos;
  }

  // What libheif itself composes of tiles.
  void limit_parts(const ImageOptions& options) {
#if LIBHEIF_NUMERIC_VERSION >= (1 << 24 | 19 << 16)
    heif_security_limits& limits = *heif_context_get_security_limits(context_.get());
    limits.max_image_size_pixels = static_cast<std::uint64_t>(limit_.pixels);
    limits.max_memory_block_size = options.max_memory;
#else
    static_cast<void>(options);
    const int side = std::max(heif_image_handle_get_ispe_width(handle_.get()),
                              heif_image_handle_get_ispe_height(handle_.get()));
    heif_context_set_maximum_image_size_limit(context_.get(), side + 1);  // it must stay below
#endif
  }

  void decode() {
    const Owned<heif_decoding_options, &heif_decoding_options_free> options(
        heif_decoding_options_alloc());
    options->convert_hdr_to_8bit = 1;
    const CodedLimitScope scope(limit_);
    heif_image* image = nullptr;
    check(heif_decode_image(handle_.get(), &image, heif_colorspace_RGB,
                            has_alpha_ ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB,
                            options.get()));
    image_.reset(image);
    int stride = 0;
    pixels_ = heif_image_get_plane_readonly(image, heif_channel_interleaved, &stride);
    stride_ = stride;
    if (pixels_ == nullptr ||
        info_.width != heif_image_get_width(image, heif_channel_interleaved) ||
        info_.height != heif_image_get_height(image, heif_channel_interleaved)) {
      throw make_error("{}: cannot decode this {} (its size differs from that in its header)",
                       name_, kind_);
    }
    is_premultiplied_ = heif_image_is_premultiplied_alpha(image) != 0;
  }

  std::uint8_t shown(std::uint8_t color, std::uint8_t background, std::uint8_t alpha) const {
    if (!is_premultiplied_) return over_background(color, background, alpha);
    const int sum = color + over_background(0, background, alpha);
    return static_cast<std::uint8_t>(std::min(sum, 255));
  }

  Bytes bytes_;
  std::string name_;
  std::string_view kind_;  // "HEIC" or "AVIF"
  std::array<std::uint8_t, 3> background_;
  CodedLimit limit_;
  Owned<heif_context, &heif_context_free> context_{heif_context_alloc()};
  Owned<heif_image_handle, &heif_image_handle_release> handle_;
  Owned<heif_image, &heif_image_release> image_;
  bool has_alpha_ = false;
  bool is_premultiplied_ = false;
  const std::uint8_t* pixels_ = nullptr;  // [height, stride_]
  std::int64_t stride_ = 0;
  std::int64_t row_ = 0;
};

}  // namespace

const std::string_view kReadableFormats = "JPEG, PNG, WebP, GIF, HEIC and AVIF";

std::unique_ptr<ImageReader> open_heif(Bytes bytes, std::string_view name,
                                       const ImageOptions& options) {
  return std::make_unique<HeifReader>(bytes, name, options);
}

}  // namespace fvlm::image_formats
