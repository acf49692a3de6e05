// HEVC through libde265, which has a limit for the size of a picture only from version 1.1 on:
// HevcCheck sees its units first.
#include <libde265/de265.h>

#include "fvlm/error.hpp"
#include "runtime/image/heif_plugin.hpp"
#include "runtime/image/hevc_check.hpp"

namespace fvlm::image_formats {
namespace {

static_assert(static_cast<int>(heif_chroma_monochrome) == de265_chroma_mono &&
              static_cast<int>(heif_chroma_420) == de265_chroma_420 &&
              static_cast<int>(heif_chroma_422) == de265_chroma_422 &&
              static_cast<int>(heif_chroma_444) == de265_chroma_444);

DecodedPicture described(const de265_image* image) {
  DecodedPicture picture;
  picture.chroma = static_cast<heif_chroma>(de265_get_chroma_format(image));
  picture.bits = de265_get_bits_per_pixel(image, 0);
  const int planes = picture.chroma == heif_chroma_monochrome ? 1 : 3;
  for (int c = 0; c < planes; ++c) {
    if (de265_get_bits_per_pixel(image, c) != picture.bits) {
      throw Error("its luma and chroma have different numbers of bits");
    }
    DecodedPlane& plane = picture.planes[static_cast<std::size_t>(c)];
    int stride = 0;
    plane.data = de265_get_image_plane(image, c, &stride);
    plane.stride = stride;
    plane.width = de265_get_image_width(image, c);
    plane.height = de265_get_image_height(image, c);
    if (plane.width < 1 || plane.height < 1) throw Error("its HEVC picture is empty");
  }
  picture.primaries = de265_get_image_colour_primaries(image);
  picture.transfer = de265_get_image_transfer_characteristics(image);
  picture.matrix = de265_get_image_matrix_coefficients(image);
  picture.is_full_range = de265_get_image_full_range_flag(image) != 0;
  return picture;
}

class HevcDecoder {
 public:
  static constexpr heif_compression_format kFormat = heif_compression_HEVC;
  static constexpr const char* kName = "fastvlm-libde265";

  explicit HevcDecoder(const CodedLimit& limit) : check_(limit) {
    if (context_ == nullptr) throw Error("libde265 has no memory");
  }

  // Units with their lengths, 4 bytes each.
  void push(Bytes bytes) {
    while (!bytes.empty()) {
      constexpr std::size_t kLengthBytes = 4;
      if (bytes.size() < kLengthBytes) throw Error("its HEVC data ends early");
      std::size_t length = 0;
      for (const std::byte byte : bytes.first(kLengthBytes)) {
        length = length << 8 | std::to_integer<std::size_t>(byte);
      }
      bytes = bytes.subspan(kLengthBytes);
      if (length > bytes.size()) throw Error("its HEVC data ends early");
      if (check_.is_decoded(bytes.first(length))) {
        de265_push_NAL(context_.get(), bytes.data(), static_cast<int>(length), 0, nullptr);
      }
      bytes = bytes.subspan(length);
    }
  }

  // Of damaged data, what libde265 makes of it.
  heif_image* decode() {
    de265_flush_data(context_.get());
    int more = 1;
    while (more != 0) {
      more = 0;
      if (de265_decode(context_.get(), &more) != DE265_OK) break;
      if (const de265_image* image = de265_get_next_picture(context_.get()); image != nullptr) {
        return copy_for_heif(described(image));
      }
    }
    throw Error("its HEVC data is damaged");
  }

 private:
  struct Free {
    void operator()(de265_decoder_context* context) const { de265_free_decoder(context); }
  };

  HevcCheck check_;
  std::unique_ptr<de265_decoder_context, Free> context_{de265_new_decoder()};
};

}  // namespace

const heif_decoder_plugin& hevc_plugin() {
  static const heif_decoder_plugin plugin = as_heif_plugin<HevcDecoder>();
  return plugin;
}

}  // namespace fvlm::image_formats
