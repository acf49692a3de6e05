// The fastest tile of each GEMM, as measured on a device. Tiles differ in speed alone, so a table
// that is wrong costs time and nothing else.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>

#include "kernels/cuda/gemm/tile_choice.hpp"

namespace fvlm {

// C [m, n] = A [m, k] W [n, k]^T with what follows it.
struct GemmKey {
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  bool gelu = false;
  bool residual = false;

  auto operator<=>(const GemmKey&) const = default;
};

// Indices of tiles, as in tile_choice.hpp.
using TileTable = std::map<GemmKey, int>;

// What a table holds for: another device, driver or program has other speeds and other tiles.
struct TuningIdentity {
  std::string device;  // "NVIDIA H100 80GB HBM3"
  int major = 0;       // of the compute capability
  int minor = 0;
  int driver = 0;       // as CUDA numbers it: 13000
  std::string program;  // version

  bool operator==(const TuningIdentity&) const = default;
};

}  // namespace fvlm
