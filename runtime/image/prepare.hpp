// From the rows of a picture to what the encoder sees, and what is known of it.
#pragma once

#include <cstdint>

#include "fvlm/image.hpp"
#include "fvlm/models/config.hpp"

namespace fvlm {

// Reads a picture to its end and brings it to a square of `side` pixels, in `memory` of side * side
// * 3 bytes. Throws Error as the reader does.
PreparedImage prepare_image(ImageReader& reader, const Preprocessing& fit, std::int64_t side,
                            Pixels memory);

}  // namespace fvlm
