// One panel of weights times many inputs: what gemm.cpp is made of.
#pragma once

#include <cstdint>

#include "fvlm/core/element.hpp"

namespace fvlm::gemm {

// sums [rows, kPanel] = inputs [rows, depth] times a panel (+ start) (+ sums).
template <class T>
struct PanelProduct {
  const T* panel = nullptr;
  const T* next = nullptr;  // the panel that is wanted after this one
  const T* inputs = nullptr;
  std::int64_t input_stride = 0;
  std::int64_t rows = 0;
  std::int64_t depth = 0;
  const float* start = nullptr;  // [kPanel], or null
  bool accumulate = false;
  float* sums = nullptr;
  std::int64_t sum_stride = 0;
};

void multiply_panel_float(const PanelProduct<float>& product);     // ../simd/gemm_panel.cpp
void multiply_panel_pairs(const PanelProduct<BFloat16>& product);  // pairs.cpp
std::int64_t multiply_adds_pairs(std::int64_t rounds, float* result);

// Rows [outputs, words] of 32 bits each, up to kPanel of them, become [words][kPanel], with zeros
// for outputs that are missing. bfloat16 is widened.
void pack_panel(const float* rows, std::int64_t stride, std::int64_t outputs, std::int64_t words,
                float* panel);
void pack_panel(const BFloat16* rows, std::int64_t stride, std::int64_t outputs, std::int64_t words,
                float* panel);

}  // namespace fvlm::gemm
