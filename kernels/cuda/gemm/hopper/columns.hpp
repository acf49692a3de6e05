// Which rows of the weights the columns of a tile are, in GEMMs for compute capability 9.0.
#pragma once

#include "kernels/cuda/gemv/token_product.hpp"
#include "kernels/cuda/primitives/portable.hpp"

namespace fvlm::FVLM_CUDA_TARGET {

// The columns themselves ...
struct PlainColumns {
  static constexpr bool kPairs = false;

  template <int kN>
  __host__ __device__ static int box_rows() {
    return kN;
  }
  // The row of the weights that is column `at` of the tile that begins at column `first`.
  template <int kN>
  __device__ static int row(int first, int at) {
    return first + at;
  }
};
// ... or, where columns of C are pairs (token_product.hpp), the first ones of a tile's pairs and
// then the second ones: so a thread has the sums of both.
struct PairedColumns {
  static constexpr bool kPairs = true;

  int half;  // rows from the first one of a pair to the second
  int most;  // adjacent rows that may be copied at once, a power of two

  template <int kN>
  __host__ __device__ int box_rows() const {
    return kN / 2 < most ? kN / 2 : most;
  }
  template <int kN>
  __device__ int row(int first, int at) const {
    const OutputPair pair = pair_of_halves(first / 2 + at % (kN / 2), half);
    return at < kN / 2 ? pair.first : pair.second;
  }
};

}  // namespace fvlm::FVLM_CUDA_TARGET
