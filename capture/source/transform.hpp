// What is done to a picture before anybody sees it, in this order: areas of it are made black
// (a privacy mask), a part is cut out, that is rotated and then mirrored. Areas are those of the
// camera's own picture, so that what is hidden stays hidden however the picture is turned.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "capture/source/planes.hpp"

namespace fvlm::capture {

// A rectangle of the camera's picture, in its pixels or in fractions of its width and height.
struct Area {
  double x = 0;
  double y = 0;
  double width = 0;
  double height = 0;
  bool in_fractions = false;
};

struct Transform {
  std::vector<Area> masks{};
  std::optional<Area> crop{};
  int rotate = 0;  // degrees, clockwise: 0, 90, 180 or 270
  bool flip_horizontal = false;
  bool flip_vertical = false;

  bool changes() const {
    return !masks.empty() || crop || rotate != 0 || flip_horizontal || flip_vertical;
  }
};

// The picture and the transform do not fit each other.
class TransformError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// "X,Y,WIDTH,HEIGHT": four whole numbers are pixels, four with a decimal point fractions up to 1.0.
// Throws std::invalid_argument that says what is wrong.
Area parse_area(const std::string& text);

// How wide a picture of this size is afterwards. Throws TransformError if nothing is left.
int width_after(const Transform& transform, int width, int height);

// The planes as they are to be seen: the same samples, read in another order, and `black` areas.
// The camera's picture is `width` x `height`; the planes may be one that was made smaller. A mask
// grows to whole samples of the colour, the part that is cut out shrinks to them. Throws
// TransformError if nothing is left.
Planes transformed(const Planes& planes, const Transform& transform, int width, int height);

}  // namespace fvlm::capture
