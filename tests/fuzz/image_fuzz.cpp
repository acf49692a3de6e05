// A picture: what opens is read to its last row, and costs no more than it may.
#include <span>
#include <vector>

#include "fvlm/error.hpp"
#include "fvlm/image.hpp"

using namespace fvlm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ImageOptions options = {.max_pixels = 1 << 16, .max_memory = 1 << 22};
  try {
    const auto reader = open_image(std::as_bytes(std::span(data, size)), "input", options);
    std::vector<std::uint8_t> row(static_cast<std::size_t>(reader->info().width) * 3);
    for (std::int64_t y = 0; y < reader->info().height; ++y) reader->read_row(row.data());
  } catch (const Error&) {
  }
  return 0;
}
