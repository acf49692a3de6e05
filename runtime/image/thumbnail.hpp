// Makes the small copy of a picture by which the engine sees whether a camera's view has changed.
#pragma once

#include <cstdint>

#include "fvlm/image.hpp"
#include "runtime/image/fit.hpp"

namespace fvlm {

// Of the part of a square [side, side, 3] that shows the picture. Means over some pixels of each
// field: enough of them that noise averages out.
Thumbnail make_thumbnail(const std::uint8_t* square, std::int64_t side, const ShownPart& shown);

}  // namespace fvlm
