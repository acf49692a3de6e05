// A C++ class as libheif's decoder plugin. `Decoder` has
//   static constexpr heif_compression_format kFormat; static constexpr const char* kName;
//   explicit Decoder(const CodedLimit&)
//   void push(Bytes)       // all data of one picture, its configuration first
//   heif_image* decode()   // once, after that
// and throws Error. Plugins of version 1 serve up to libheif 1.20; from 1.21 on it wants version 5,
// whose decoders give one picture after the other.
#pragma once

#include <libheif/heif.h>
#include <libheif/heif_plugin.h>

#include <array>
#include <memory>
#include <string>

#include "runtime/image/formats.hpp"
#include "runtime/image/heif_decoders.hpp"

namespace fvlm::image_formats {

// Rows of samples, of two bytes each if they have more than 8 bits.
struct DecodedPlane {
  const std::uint8_t* data = nullptr;
  std::ptrdiff_t stride = 0;  // bytes
  int width = 0;
  int height = 0;
};

struct DecodedPicture {
  heif_chroma chroma = heif_chroma_undefined;  // monochrome has the first plane alone
  int bits = 8;                                // of a sample
  std::array<DecodedPlane, 3> planes;          // Y, Cb, Cr
  // Of ITU-T H.273. What libheif does not know is left unspecified.
  int primaries = 2;
  int transfer = 2;
  int matrix = 2;
  bool is_full_range = false;
};

// A copy that libheif owns. Throws Error if it refuses.
heif_image* copy_for_heif(const DecodedPicture& picture);

// This thread's; throws Error if it has none.
const CodedLimit& coded_limit();

const heif_decoder_plugin& av1_plugin();
const heif_decoder_plugin& hevc_plugin();

inline constexpr int kPluginPriority = 1000;  // libheif's own have up to 200
inline constexpr int kPluginVersion = LIBHEIF_NUMERIC_VERSION < (1 << 24 | 21 << 16) ? 1 : 5;

// What `action` throws becomes libheif's error.
template <class Action>
heif_error as_heif_error(const Action& action) {
  thread_local std::string message;
  try {
    action();
    return {heif_error_Ok, heif_suberror_Unspecified, ""};
  } catch (const std::exception& error) {
    message = error.what();
  }
  return {heif_error_Decoder_plugin_error, heif_suberror_Unspecified, message.c_str()};
}

template <class Decoder>
heif_decoder_plugin as_heif_plugin() {
  heif_decoder_plugin plugin{};
  plugin.plugin_api_version = kPluginVersion;
  plugin.get_plugin_name = [] { return Decoder::kName; };
  plugin.does_support_format = [](heif_compression_format format) {
    return format == Decoder::kFormat ? kPluginPriority : 0;
  };
  plugin.new_decoder = [](void** decoder) {
    return as_heif_error([&] { *decoder = new Decoder(coded_limit()); });
  };
  plugin.free_decoder = [](void* decoder) { delete static_cast<Decoder*>(decoder); };
  plugin.push_data = [](void* decoder, const void* data, std::size_t size) {
    const Bytes bytes(static_cast<const std::byte*>(data), size);
    return as_heif_error([&] { static_cast<Decoder*>(decoder)->push(bytes); });
  };
  plugin.decode_image = [](void* decoder, heif_image** image) {
    return as_heif_error([&] { *image = static_cast<Decoder*>(decoder)->decode(); });
  };
#if LIBHEIF_NUMERIC_VERSION >= (1 << 24 | 21 << 16)
  plugin.id_name = Decoder::kName;
  plugin.does_support_format2 = [](const heif_decoder_plugin_compressed_format_description* coded) {
    return coded->format == Decoder::kFormat ? kPluginPriority : 0;
  };
  plugin.new_decoder2 = [](void** decoder, const heif_decoder_plugin_options*) {
    return as_heif_error([&] { *decoder = new Decoder(coded_limit()); });
  };
  plugin.push_data2 = [](void* decoder, const void* data, std::size_t size, std::uintptr_t) {
    const Bytes bytes(static_cast<const std::byte*>(data), size);
    return as_heif_error([&] { static_cast<Decoder*>(decoder)->push(bytes); });
  };
  plugin.flush_data = [](void*) { return as_heif_error([] {}); };
  plugin.decode_next_image2 = [](void* decoder, heif_image** image, std::uintptr_t*,
                                 const heif_security_limits*) {
    return as_heif_error([&] { *image = static_cast<Decoder*>(decoder)->decode(); });
  };
#endif
  return plugin;
}

}  // namespace fvlm::image_formats
