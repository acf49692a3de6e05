// The second bytes of JPEG markers (ISO/IEC 10918-1, table B.1) that are looked at without libjpeg.
#pragma once

#include <cstdint>

namespace fvlm::capture {

enum JpegMarker : std::uint8_t {
  kSof0 = 0xC0,  // baseline; C1 extended, C2 progressive
  kSof2 = 0xC2,
  kDht = 0xC4,
  kRst0 = 0xD0,
  kRst7 = 0xD7,
  kSoi = 0xD8,
  kEoi = 0xD9,
  kSos = 0xDA,
  kDqt = 0xDB,
  kApp1 = 0xE1,
};

}  // namespace fvlm::capture
