#include "kernels/cpu/gemm/plain.hpp"

#include <algorithm>
#include <type_traits>

#include "kernels/cpu/gemm/tiles.hpp"

namespace fvlm::gemm::plain {
namespace {

// The product is exact in float32.
float multiply_add(BFloat16 a, BFloat16 b, float sum) {
  return sum + static_cast<float>(a) * static_cast<float>(b);
}

// A tile adds the products of its even elements and those of its odd ones to the sum.
float add_tile(const BFloat16* weights, const BFloat16* inputs, float sum) {
  float even = 0;
  float odd = 0;
  for (std::int64_t k = 0; k < kTileDepth; k += 2) {
    const BFloat16* const pair = inputs + k * kTileRows;
    even = multiply_add(weights[k], pair[0], even);
    odd = multiply_add(weights[k + 1], pair[1], odd);
  }
  return sum + (even + odd);
}

template <class T>
void multiply(const Product& p, T* out) {
  const std::int64_t depth = tiled_depth(p.depth);
  const auto* const weights = static_cast<const BFloat16*>(p.weights);
  const bool packed = p.weight_stride == 0;
  for (std::int64_t r = 0; r < p.rows; ++r) {
    const BFloat16* const inputs = static_cast<const BFloat16*>(p.inputs) +
                                   r / kTileRows * kTileRows * depth + r % kTileRows * 2;
    for (std::int64_t o = 0; o < p.outputs; ++o) {
      const BFloat16* const row = weights + (packed ? tiled_row(o, p.depth) : o * p.weight_stride);
      float sum = 0;
      for (std::int64_t k = 0; k < depth; k += kTileDepth) {
        sum = add_tile(row + (packed ? k * kPanel : k), inputs + k * kTileRows, sum);
      }
      if (p.bias != nullptr) sum += p.bias[o];
      T& to = out[r * p.out_stride + o];
      if constexpr (std::is_same_v<T, float>) {
        to = p.accumulate ? to + sum : sum;
      } else {
        to = BFloat16(sum);
      }
    }
  }
}

}  // namespace

void multiply_panel(const PanelProduct<BFloat16>& p) {
  for (std::int64_t r = 0; r < p.rows; ++r) {
    const BFloat16* const inputs = p.inputs + r * p.input_stride;
    for (std::int64_t o = 0; o < kPanel; ++o) {
      float& out = p.sums[r * p.sum_stride + o];
      float sum = p.start == nullptr ? 0 : p.start[o];
      if (p.accumulate) sum += out;
      for (std::int64_t k = 0; k < p.depth; ++k) {
        sum = multiply_add(p.panel[(k / 2 * kPanel + o) * 2 + k % 2], inputs[k], sum);
      }
      out = sum;
    }
  }
}

void reorder_inputs(const BFloat16* inputs, std::int64_t stride, std::int64_t rows,
                    std::int64_t depth, BFloat16* to) {
  std::fill_n(to, tiled_elements(rows, depth), BFloat16());
  for (std::int64_t r = 0; r < rows; ++r) {
    BFloat16* const tiles = to + r / kTileRows * kTileRows * tiled_depth(depth) + r % kTileRows * 2;
    for (std::int64_t k = 0; k < depth; ++k) {
      tiles[k / 2 * kTileRows * 2 + k % 2] = inputs[r * stride + k];
    }
  }
}

void multiply_tiles(const Product& product, float* out) {
  multiply(product, out);
}

void multiply_tiles(const Product& product, BFloat16* out) {
  multiply(product, out);
}

}  // namespace fvlm::gemm::plain
