// The epilogue of a linear layer: what happens to the GEMM's result before it is stored.
#pragma once

#include <cstdint>

namespace fvlm {

enum class Activation : std::uint8_t { kNone, kGelu };

// out = activation(result), or, if out holds the residual, out += result; never both.
struct Epilogue {
  Activation activation = Activation::kNone;
  bool accumulate = false;

  bool operator==(const Epilogue&) const = default;
};

}  // namespace fvlm
