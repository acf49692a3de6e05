#include "runtime/image_limits.hpp"

#include <algorithm>

#include "fvlm/core/error.hpp"

namespace fvlm::image_formats {

void check_size(const ImageInfo& info, std::string_view name, const ImageOptions& options) {
  if (info.width < 1 || info.height < 1) {
    throw Error("{}: {}x{} pixels, nothing to see", name, info.width, info.height);
  }
  if (std::max(info.width, info.height) > kMaxSide) {
    throw Error("{}: {}x{} pixels, at most {} a side are accepted", name, info.width, info.height,
                kMaxSide);
  }
  if (info.width * info.height > options.max_pixels) {
    throw Error("{}: {}x{} pixels, at most {} in all are accepted (--max-image-pixels)", name,
                info.width, info.height, options.max_pixels);
  }
  if (info.memory > options.max_memory) {
    const auto megabytes = [](std::size_t bytes) { return (bytes + 999'999) / 1'000'000; };
    throw Error(
        "{}: {}x{} pixels of this kind of file take {} MB to decode, at most {} MB are accepted: "
        "save it as a baseline JPEG or a PNG that is not interlaced",
        name, info.width, info.height, megabytes(info.memory), megabytes(options.max_memory));
  }
}

}  // namespace fvlm::image_formats
