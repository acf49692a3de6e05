// The one thing that EXIF data tells us: how the camera was held. The block is a TIFF file without
// pixels; its first directory may have the tag Orientation. Cameras and editors write it in many
// ways; it is read as Pillow's `ImageOps.exif_transpose` reads it.
#pragma once

#include <cstddef>
#include <span>

namespace fvlm {

// EXIF's orientation, 1 to 8, of a TIFF block, with or without "Exif\0\0" before it. 1, which is
// upright, if there is none or the block cannot be read. Takes time in proportion to the block.
int exif_orientation(std::span<const std::byte> tiff);

}  // namespace fvlm
