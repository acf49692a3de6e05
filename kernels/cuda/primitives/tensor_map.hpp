// A matrix in global memory as the tensor memory accelerator of compute capability 9.0 copies it,
// in boxes of some rows and 64 elements: an argument of kernels, made on the host.
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

// Of a matrix whose address and rows are multiples of 16 bytes. Throws an Error if the driver has
// no such maps.
template <Target target>
TensorMap tensor_map(View<const BFloat16> matrix, std::int64_t box_rows);

}  // namespace fvlm
