// A matrix in global memory as the tensor memory accelerator of compute capability 9.0 copies it,
// in boxes of some rows and 64 or 32 elements: an argument of kernels, made on the host.
#pragma once

#include <cstdint>
#include <cstring>

#include "fvlm/core/element.hpp"
#include "fvlm/core/view.hpp"
#include "kernels/cuda/primitives/target.hpp"

#ifndef __CUDACC__
#include "kernels/emulator/tensor_memory.hpp"
#endif

namespace fvlm {

struct alignas(64) TensorMap {
  unsigned char bytes[128];

#ifndef __CUDACC__
  emulator::Matrix emulated() const {
    emulator::Matrix matrix;
    std::memcpy(&matrix, bytes, sizeof(matrix));
    return matrix;
  }
#endif
};

// Elements of a row of a box: 128 or 64 bytes, which are swizzled.
inline constexpr int kBoxDepth = 64;
inline constexpr int kNarrowBoxDepth = 32;

// Of a matrix whose address and rows are multiples of 16 bytes. Throws an Error if the driver has
// no such maps.
template <Target target>
TensorMap tensor_map(View<const BFloat16> matrix, std::int64_t box_rows, int box_depth = kBoxDepth);

}  // namespace fvlm
