// A picture as the encoder sees it, and what is known of it: made once, by whoever has the file,
// and only read afterwards.
#pragma once

#include <cstdint>
#include <functional>

#include "fvlm/models/config.hpp"
#include "fvlm/ops/pixels.hpp"
#include "runtime/image/reader.hpp"
#include "runtime/image/thumbnail.hpp"
#include "runtime/support/keyed_hash.hpp"

namespace fvlm {

struct Picture {
  Pixels pixels{};  // [side, side, 3]
  std::int64_t side = 0;
  Hash128 hash{};             // of the pixels: equal pictures share cached work
  Thumbnail thumbnail{};      // of the part that shows the picture
  std::int64_t warnings = 0;  // ImageReader::warnings
  double seconds = 0;         // that decoding and resizing took
};

// Reads a picture to its end and brings it to a square of `side` pixels, in `memory` of side * side
// * 3 bytes. Throws Error as the reader does.
Picture make_picture(ImageReader& reader, const PictureFit& fit, std::int64_t side, Pixels memory);

}  // namespace fvlm
