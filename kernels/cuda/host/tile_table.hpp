// The fastest tile of each GEMM, as measured on a device. Tiles differ in speed alone, so a table
// that is wrong costs time and nothing else.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "fvlm/ops/weight_format.hpp"
#include "kernels/cuda/gemm/depth_parts.hpp"
#include "kernels/cuda/gemm/tile_choice.hpp"

namespace fvlm {

// C [m, n] = A [m, k] W [n, k]^T with what follows it.
struct GemmKey {
  // Of the encoder's positions; of tokens, in prefill: plain, gate and up with SwiGLU, or q, k and
  // v with RoPE.
  enum class Kind : std::uint8_t { kPositions, kTokens, kSwiglu, kAttentionInput };

  std::int64_t m = 0;  // of tokens: counted_rows()
  std::int64_t n = 0;
  std::int64_t k = 0;
  bool gelu = false;
  bool residual = false;
  Kind kind = Kind::kPositions;
  WeightFormat::Type type = WeightFormat::Type::kBF16;

  auto operator<=>(const GemmKey&) const = default;

  bool has_pairs() const { return kind == Kind::kSwiglu || kind == Kind::kAttentionInput; }
};

// Prompts have any number of rows; what is measured for one counts for those of about as many.
constexpr std::int64_t counted_rows(std::int64_t rows) {
  const std::int64_t step = rows <= 512 ? 64 : 512;
  return (rows + step - 1) / step * step;
}

constexpr std::string_view name_of(GemmKey::Kind kind) {
  constexpr std::string_view kNames[] = {"positions", "tokens", "swiglu", "qkv"};
  return kNames[static_cast<std::size_t>(kind)];
}

// Whether its depth is in parts.
inline bool has_parts(int major, const GemmKey& key) {
  const bool in_boxes = !key.gelu || key.type == WeightFormat::Type::kBF16;
  return !key.has_pairs() && (major != 9 || in_boxes) && DepthParts(key.n, key.k).count() > 1;
}

// How many tiles there are to choose from; 0: one kernel does it, or each is as good.
inline int tile_count(int major, const GemmKey& key) {
  using enum WeightFormat::Type;
  const bool quantised = key.type == kInt8 || key.type == kInt4;
  if (key.type != kBF16 && !quantised) return 0;
  if (has_parts(major, key)) {
    const bool can_spread = DepthParts(key.n, key.k).can_spread(key.m);
    static_assert(kHopperParts.size() == kQuantisedParts.size());
    if (major == 9) return can_spread ? static_cast<int>(kHopperParts.size()) : 0;
    const auto tiles = static_cast<int>(std::size(kPartTiles));
    return can_spread ? tiles : tiles / 2;
  }
  if (major == 9 && quantised) return static_cast<int>(std::size(kQuantisedTiles));
  if (major == 9) return key.has_pairs() ? kHopperPairTiles : static_cast<int>(kHopperTiles.size());
  return key.m > 16 && key.n > 32 ? static_cast<int>(std::size(kTileChoices)) : 0;
}
// Of one below tile_count().
inline std::string_view tile_name(int major, const GemmKey& key, int tile) {
  const auto at = static_cast<std::size_t>(tile);
  const bool plain = key.type == WeightFormat::Type::kBF16;
  if (has_parts(major, key)) {
    if (major != 9) return kPartTiles[at].tile.name;
    return plain ? kHopperParts[at] : kQuantisedParts[at];
  }
  if (major != 9) return kTileChoices[at].name;
  return plain ? kHopperTiles[at] : kQuantisedTiles[at].name;
}

// Indices of tiles.
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
