// The one exception type for wrong files, wrong settings and failed systems. The message is one
// line that names the file (and tensor), what was expected, and what was found.
#pragma once

#include <stdexcept>

namespace fvlm {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace fvlm
