// A look at a JPEG without decoding it: is it whole, how large is the picture, does it lack the
// Huffman tables, which many cameras leave out of their MJPEG because they are always the same.
#pragma once

#include <cstddef>
#include <optional>

#include "capture/source/frame.hpp"

namespace fvlm::capture {

struct JpegHeader {
  int width = 0;
  int height = 0;
  std::size_t size = 0;  // bytes up to the end marker; cameras pad
  // Where the tables have to be put, in front of the first scan; 0 if they are there.
  std::size_t tables_belong_at = 0;
  // The scale of the luminance table of ISO/IEC 10918-1, annex K, that fits the picture's own best,
  // as libjpeg counts it: 1 to 100.
  int quality = 0;
  int orientation = 1;  // jpeg_orientation.hpp
};

// Nothing if it is no JPEG, or one that is cut, or has a part of another in it.
std::optional<JpegHeader> read_jpeg_header(Bytes bytes);

}  // namespace fvlm::capture
