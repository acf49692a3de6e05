// What the kernels for bfloat16 compute, in plain loops: tests of all that lies around a kernel run
// where the processor does not have it.
#pragma once

#include <cstdint>

#include "kernels/cpu/gemm/gemm.hpp"
#include "kernels/cpu/gemm/panel.hpp"

namespace fvlm::gemm::plain {

void multiply_panel(const PanelProduct<BFloat16>& product);
// As tiles.hpp's.
void reorder_inputs(const BFloat16* inputs, std::int64_t stride, std::int64_t rows,
                    std::int64_t depth, BFloat16* to);
void multiply_tiles(const Product& product, float* out);
void multiply_tiles(const Product& product, BFloat16* out);

}  // namespace fvlm::gemm::plain
