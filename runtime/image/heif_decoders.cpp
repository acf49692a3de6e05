#include "runtime/image/heif_decoders.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "fvlm/error.hpp"
#include "runtime/image/heif_plugin.hpp"

namespace fvlm::image_formats {
namespace {

thread_local const CodedLimit* limit_of_thread = nullptr;

void require(const heif_error& error) {
  if (error.code != heif_error_Ok) throw Error(error.message);
}

struct ReleaseImage {
  void operator()(heif_image* image) const { heif_image_release(image); }
};
struct FreeProfile {
  void operator()(heif_color_profile_nclx* profile) const { heif_nclx_color_profile_free(profile); }
};

void copy_plane(const DecodedPlane& plane, int bits, heif_channel channel, heif_image* image) {
  require(heif_image_add_plane(image, channel, plane.width, plane.height, bits));
  int stride = 0;
  std::uint8_t* row = heif_image_get_plane(image, channel, &stride);
  const auto row_bytes = static_cast<std::size_t>(plane.width) * (bits > 8 ? 2 : 1);
  for (int y = 0; y < plane.height; ++y, row += stride) {
    std::memcpy(row, plane.data + y * plane.stride, row_bytes);
  }
}

void describe_colors(const DecodedPicture& picture, heif_image* image) {
  const std::unique_ptr<heif_color_profile_nclx, FreeProfile> profile(
      heif_nclx_color_profile_alloc());
  heif_nclx_color_profile_set_color_primaries(profile.get(),
                                              static_cast<std::uint16_t>(picture.primaries));
  heif_nclx_color_profile_set_transfer_characteristics(
      profile.get(), static_cast<std::uint16_t>(picture.transfer));
  heif_nclx_color_profile_set_matrix_coefficients(profile.get(),
                                                  static_cast<std::uint16_t>(picture.matrix));
  profile->full_range_flag = picture.is_full_range ? 1 : 0;
  require(heif_image_set_nclx_color_profile(image, profile.get()));
}

// libheif can have decoders of more formats, which know nothing of our limits.
heif_error refuse() {
  return as_heif_error([] { throw Error("it is coded neither as HEVC nor as AV1"); });
}

int priority_of_others(heif_compression_format format) {
  return format == heif_compression_HEVC || format == heif_compression_AV1 ? 0 : kPluginPriority;
}

const heif_decoder_plugin& refusing_plugin() {
  static const heif_decoder_plugin plugin = [] {
    heif_decoder_plugin refusing{};
    refusing.plugin_api_version = kPluginVersion;
    refusing.get_plugin_name = [] { return "fastvlm-none"; };
    refusing.does_support_format = priority_of_others;
    refusing.new_decoder = [](void**) { return refuse(); };
#if LIBHEIF_NUMERIC_VERSION >= (1 << 24 | 21 << 16)
    refusing.id_name = refusing.get_plugin_name();
    refusing.does_support_format2 =
        [](const heif_decoder_plugin_compressed_format_description* coded) {
          return priority_of_others(coded->format);
        };
    refusing.new_decoder2 = [](void**, const heif_decoder_plugin_options*) { return refuse(); };
#endif
    return refusing;
  }();
  return plugin;
}

}  // namespace

heif_image* copy_for_heif(const DecodedPicture& picture) {
  const bool is_gray = picture.chroma == heif_chroma_monochrome;
  heif_image* created = nullptr;
  require(heif_image_create(picture.planes[0].width, picture.planes[0].height,
                            is_gray ? heif_colorspace_monochrome : heif_colorspace_YCbCr,
                            picture.chroma, &created));
  std::unique_ptr<heif_image, ReleaseImage> image(created);
  copy_plane(picture.planes[0], picture.bits, heif_channel_Y, created);
  if (!is_gray) {
    copy_plane(picture.planes[1], picture.bits, heif_channel_Cb, created);
    copy_plane(picture.planes[2], picture.bits, heif_channel_Cr, created);
  }
  describe_colors(picture, created);
  return image.release();
}

void register_heif_decoders() {
  [[maybe_unused]] static const bool is_done = [] {
    require(heif_register_decoder_plugin(&av1_plugin()));
    require(heif_register_decoder_plugin(&hevc_plugin()));
    require(heif_register_decoder_plugin(&refusing_plugin()));
    return true;
  }();
}

const CodedLimit& coded_limit() {
  if (limit_of_thread == nullptr) throw Error("decoding without a limit");
  return *limit_of_thread;
}

CodedLimitScope::CodedLimitScope(const CodedLimit& limit) {
  assert(limit_of_thread == nullptr);
  limit_of_thread = &limit;
}

CodedLimitScope::~CodedLimitScope() {
  limit_of_thread = nullptr;
}

}  // namespace fvlm::image_formats
