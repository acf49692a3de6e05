// How the camera was held, which telephones write into their JPEGs: EXIF's orientation. A JPEG that
// is compressed anew loses it, and not everyone who gets one looks for it.
#pragma once

#include "capture/source/frame.hpp"
#include "capture/source/transform.hpp"

namespace fvlm::capture {

// Of the body of a JPEG's APP1 segment: 1, which is upright, to 8. 1 also if it says nothing.
int exif_orientation(Bytes segment);

// What makes such a picture upright (CIPA DC-008, tag 0x0112).
Transform upright(int orientation);

}  // namespace fvlm::capture
