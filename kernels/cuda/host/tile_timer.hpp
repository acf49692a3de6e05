// How long a GEMM takes with each of its tiles, on a stream that nothing else uses, over scratch
// memory whose content does not matter.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "fvlm/core/arena.hpp"
#include "fvlm/core/element.hpp"
#include "kernels/cuda/gemm/gemm.hpp"
#include "kernels/cuda/host/tile_table.hpp"
#include "kernels/cuda/primitives/stream.hpp"

namespace fvlm {

template <Target target>
class TileTimer {
 public:
  // Stream and arena must outlive it. The arena has so many bytes free whenever this is called.
  TileTimer(Stream<target>& stream, Arena& arena, std::int64_t free_bytes,
            const DeviceShape& device)
      : stream_(stream), arena_(arena), free_bytes_(free_bytes), device_(device) {}

  // Of the fastest of some launches, after one to warm up; infinite if the matrices do not fit into
  // the arena.
  double seconds(const GemmKey& key, int tile) const {
    const Arena::Scope scope(arena_);
    constexpr std::int64_t kAlign = 256;  // at most that is lost between two
    const std::int64_t elements = key.m * key.k + key.n * key.k + key.m * key.n;
    if (elements * static_cast<std::int64_t>(sizeof(BFloat16)) + 3 * kAlign > free_bytes_) {
      return std::numeric_limits<double>::infinity();
    }
    const auto in = arena_.template matrix<BFloat16>(key.m, key.k);
    const auto weight = arena_.template matrix<BFloat16>(key.n, key.k);
    const auto out = arena_.template matrix<BFloat16>(key.m, key.n);
    return seconds(key, tile, in, weight, out);
  }

 private:
  double seconds(const GemmKey& key, int tile, View<const BFloat16> in, View<const BFloat16> weight,
                 View<BFloat16> out) const {
    constexpr int kRuns = 4;
    Event<target> begin;
    Event<target> end;
    double best = std::numeric_limits<double>::infinity();
    for (int run = -1; run < kRuns; ++run) {
      stream_.record(begin);
      LinearKernels<target, BFloat16>::multiply(
          stream_, device_,
          {.in = in,
           .weight = weight,
           .bias = nullptr,
           .activation = key.gelu ? Activation::kGelu : Activation::kNone,
           .residual = key.residual ? View<const BFloat16>(out) : View<const BFloat16>{},
           .out = out,
           .tile = tile});
      stream_.record(end);
      end.synchronize();
      if (run >= 0) best = std::min(best, double{end.since(begin)} / 1e3);
    }
    return best;
  }

  Stream<target>& stream_;
  Arena& arena_;
  std::int64_t free_bytes_;
  DeviceShape device_;
};

}  // namespace fvlm
