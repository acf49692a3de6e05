#include "runtime/image/limits.hpp"

#include <algorithm>

#include "kernels/support/make_error.hpp"

namespace fvlm::image_formats {

void check_size(const ImageInfo& info, std::string_view name, const ImageOptions& options) {
  if (info.width < 1 || info.height < 1) {
    throw make_error("{}: {}x{} pixels, nothing to see", name, info.width, info.height);
  }
  if (std::max(info.width, info.height) > kMaxSide) {
    throw make_error("{}: {}x{} pixels, at most {} a side are accepted", name, info.width,
                     info.height, kMaxSide);
  }
  if (info.width * info.height > options.max_pixels) {
    throw make_error("{}: {}x{} pixels, at most {} in all are accepted (--max-image-pixels)", name,
                     info.width, info.height, options.max_pixels);
  }
  if (info.memory > options.max_memory) {
    constexpr std::size_t kMegabyte = std::size_t{1} << 20;
    const auto megabytes = [](std::size_t bytes) { return (bytes + kMegabyte - 1) / kMegabyte; };
    throw make_error(
        "{}: {}x{} pixels of this kind of file take {} MB to decode, at most {} MB are accepted "
        "(--max-image-memory); or save it as a baseline JPEG or a PNG that is not interlaced",
        name, info.width, info.height, megabytes(info.memory), megabytes(options.max_memory));
  }
}

}  // namespace fvlm::image_formats
