// What happens to a matrix product on its way to memory.
#pragma once

#include <cstdint>

namespace fvlm {

enum class Activation : std::uint8_t { kNone, kGelu };

struct Epilogue {
  Activation activation = Activation::kNone;
  bool accumulate = false;  // out += result: out holds the residual
};

}  // namespace fvlm
