// What a picture may cost is decided from its header, before any of it is spent.
#pragma once

#include <string_view>

#include "fvlm/image.hpp"

namespace fvlm::image_formats {

// Longer sides are refused whatever the options say: sizes below it can be multiplied in 64 bits.
inline constexpr std::int64_t kMaxSide = 1'000'000;

// Throws Error if a picture has no pixels, or more of them or more memory to decode than `options`
// accept. `info` is what the header says; `name` stands for the picture in the message.
void check_size(const ImageInfo& info, std::string_view name, const ImageOptions& options);

}  // namespace fvlm::image_formats
