#include "tests/capture/jpeg.hpp"

#include <cmath>
#include <csetjmp>
#include <cstdio>
#include <stdexcept>

// This one relies on what is included before it.
#include <jpeglib.h>

namespace fvlm::capture {
namespace {

struct Errors {
  jpeg_error_mgr manager{};
  std::jmp_buf failed{};
};

[[noreturn]] void on_error(j_common_ptr info) {
  std::longjmp(static_cast<Errors*>(info->client_data)->failed, 1);
}

// Only C objects and references live here, so that the jump skips no destructor.
bool decode_into(const std::string& jpeg, DecodedJpeg& to) {
  jpeg_decompress_struct info{};
  Errors errors;
  info.err = jpeg_std_error(&errors.manager);
  errors.manager.error_exit = &on_error;
  errors.manager.output_message = [](j_common_ptr) {};
  info.client_data = &errors;
  if (setjmp(errors.failed) != 0) {
    jpeg_destroy_decompress(&info);
    return false;
  }
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(jpeg.data()), jpeg.size());
  jpeg_read_header(&info, TRUE);
  info.out_color_space = info.jpeg_color_space;
  jpeg_start_decompress(&info);
  to.width = static_cast<int>(info.output_width);
  to.height = static_cast<int>(info.output_height);
  to.components = info.output_components;
  const std::size_t row_bytes =
      std::size_t{info.output_width} * static_cast<unsigned>(to.components);
  to.samples.resize(row_bytes * info.output_height);
  while (info.output_scanline < info.output_height) {
    JSAMPROW row = to.samples.data() + info.output_scanline * row_bytes;
    jpeg_read_scanlines(&info, &row, 1);
  }
  jpeg_finish_decompress(&info);
  to.warnings = errors.manager.num_warnings;
  jpeg_destroy_decompress(&info);
  return true;
}

}  // namespace

DecodedJpeg decode_jpeg(const std::string& jpeg) {
  DecodedJpeg decoded;
  if (!decode_into(jpeg, decoded)) throw std::runtime_error("no JPEG that libjpeg can decode");
  return decoded;
}

std::string joined(const Picture& picture) {
  std::string bytes;
  for (const Bytes& piece : picture.pieces) {
    bytes.append(reinterpret_cast<const char*>(piece.data), piece.size);
  }
  return bytes;
}

std::string without_huffman_tables(const std::string& jpeg) {
  std::string left = jpeg;
  std::size_t at = 2;
  while (static_cast<unsigned char>(left[at + 1]) != 0xDA) {
    const std::size_t length = 2 + (static_cast<unsigned char>(left[at + 2]) << 8U |
                                    static_cast<unsigned char>(left[at + 3]));
    if (static_cast<unsigned char>(left[at + 1]) == 0xC4) {
      left.erase(at, length);
    } else {
      at += length;
    }
  }
  return left;
}

double difference(const std::vector<std::uint8_t>& a, const std::vector<std::uint8_t>& b) {
  if (a.size() != b.size()) throw std::runtime_error("pictures of different sizes");
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::pow(int{a[i]} - int{b[i]}, 2);
  return std::sqrt(sum / static_cast<double>(a.size()));
}

}  // namespace fvlm::capture
