// Where kernels run: on a CUDA device, or as ordinary C++ on the host (see
// primitives/portable.hpp). Host code is a template over it, so that both forms live in one
// program.
#pragma once

#include <cstdint>

namespace fvlm {

enum class Target : std::uint8_t { kDevice, kEmulated };

}  // namespace fvlm
