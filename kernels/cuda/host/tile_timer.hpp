// How long a GEMM takes with each of its tiles, on a stream that nothing else uses, over scratch
// memory whose content does not matter.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "fvlm/core/arena.hpp"
#include "fvlm/core/element.hpp"
#include "kernels/cuda/gemm/gemm.hpp"
#include "kernels/cuda/gemm/token_products.hpp"
#include "kernels/cuda/host/tile_table.hpp"
#include "kernels/cuda/primitives/operands.hpp"
#include "kernels/cuda/primitives/stream.hpp"

namespace fvlm {

template <Target target>
class TileTimer {
  using E = BFloat16;
  using Kind = GemmKey::Kind;

 public:
  // Stream and arena must outlive it. The arena has so many bytes free whenever this is called.
  TileTimer(Stream<target>& stream, Arena& arena, std::int64_t free_bytes,
            const DeviceShape& device, std::int64_t head_dim)
      : stream_(stream),
        arena_(arena),
        free_bytes_(free_bytes),
        device_(device),
        head_dim_(static_cast<int>(head_dim)) {}

  // Of the fastest of some launches, after one to warm up; infinite if the matrices do not fit into
  // the arena.
  double seconds(const GemmKey& key, int tile) const {
    const Arena::Scope scope(arena_);
    constexpr std::int64_t kAlign = 256;  // at most that is lost between two
    constexpr std::int64_t kParts = 7;
    const WeightFormat format = format_of(key);
    const std::int64_t scales = format.is_quantised() ? key.n * format.scales(key.k) : 0;
    const std::int64_t row_bytes = DeviceMatrix::bytes_of_row(format, key.k);
    const std::int64_t elements = key.m * key.k + key.m * key.n + scales;
    const std::int64_t sums =
        has_parts(device_.major, key) ? DepthParts(key.n, key.k).floats(key.m) : 0;
    const std::int64_t words =
        key.m * std::int64_t{sizeof(RowPlace) / 4} + sums + SplitSums::kCounters;
    if (elements * std::int64_t{sizeof(E)} + key.n * row_bytes + words * 4 + kParts * kAlign >
        free_bytes_) {
      return std::numeric_limits<double>::infinity();
    }
    const auto in = arena_.template matrix<E>(key.m, key.k);
    auto* const weight = arena_.template allocate<std::byte>(key.n * row_bytes);
    const auto out = arena_.template matrix<E>(key.m, key.n);
    const SplitSums split{arena_.template allocate<float>(sums),
                          arena_.template allocate<unsigned>(SplitSums::kCounters)};
    stream_.fill(split.counters, 0, SplitSums::kCounters * sizeof(unsigned));
    if (key.kind == Kind::kPositions) {
      return seconds([&] { multiply_positions(key, tile, in, weight, row_bytes, split, out); });
    }
    const DeviceMatrix matrix{.weight = weight,
                              .scales = arena_.template allocate<E>(scales),
                              .bias = nullptr,
                              .out = static_cast<int>(key.n),
                              .in = static_cast<int>(key.k),
                              .row_bytes = static_cast<int>(row_bytes),
                              .format = format};
    auto* const places = arena_.template allocate<RowPlace>(key.m);
    constexpr unsigned char kNoRow = 0xFF;  // negative positions: no cache is written
    stream_.fill(places, kNoRow, static_cast<std::size_t>(key.m) * sizeof(RowPlace));
    return seconds([&] { multiply_tokens(key, tile, in, matrix, places, split, out); });
  }

 private:
  static WeightFormat format_of(const GemmKey& key) {
    return {key.type, key.type == WeightFormat::Type::kBF16 ? 0 : WeightFormat::kDefaultGroup};
  }

  template <class Work>
  double seconds(const Work& work) const {
    constexpr int kRuns = 4;
    Event<target> begin;
    Event<target> end;
    double best = std::numeric_limits<double>::infinity();
    for (int run = -1; run < kRuns; ++run) {
      stream_.record(begin);
      work();
      stream_.record(end);
      end.synchronize();
      if (run >= 0) best = std::min(best, double{end.since(begin)} / 1e3);
    }
    return best;
  }

  void multiply_positions(const GemmKey& key, int tile, View<const E> in, const std::byte* weight,
                          std::int64_t row_bytes, const SplitSums& split, View<E> out) const {
    LinearKernels<target, E>::multiply(
        stream_, device_,
        {.in = in,
         .weight = {reinterpret_cast<const E*>(weight), key.n, key.k,
                    row_bytes / std::int64_t{sizeof(E)}},
         .bias = nullptr,
         .activation = key.gelu ? Activation::kGelu : Activation::kNone,
         .residual = key.residual ? View<const E>(out) : View<const E>{},
         .out = out,
         .tile = tile,
         .split = split});
  }

  // With what is left of a folded norm, where that is part of the GEMM.
  void multiply_tokens(const GemmKey& key, int tile, View<const E> in, const DeviceMatrix& matrix,
                       const RowPlace* places, const SplitSums& split, View<E> out) const {
    using Token = TokenKernels<target, E>;
    const TokenRoute route(TokenPass::kPrefill, tile);
    DeviceNorm norm;
    if (device_.major == 9 && !matrix.format.is_quantised()) {
      norm = {.weight = reinterpret_cast<const float*>(in.data), .eps = 1, .folded = true};
    }
    if (key.kind == Kind::kTokens) {
      return Token::linear(stream_, device_, route, in, matrix, key.gelu, key.residual, split, out);
    }
    if (key.kind == Kind::kSwiglu) {
      const View<E> half{out.data, key.m, key.n / 2, key.n / 2};
      return Token::swiglu(stream_, device_, route, in, norm, matrix, {}, half);
    }
    DeviceBatch batch;
    batch.rows = static_cast<int>(key.m);
    batch.places = places;
    const int heads = static_cast<int>(key.n) / head_dim_;
    Token::attention_input(stream_, device_, route, in, norm, matrix,
                           {.heads = heads, .kv_heads = 1, .head_dim = head_dim_}, batch, {}, {},
                           out);
  }

  Stream<target>& stream_;
  Arena& arena_;
  std::int64_t free_bytes_;
  DeviceShape device_;
  int head_dim_;
};

}  // namespace fvlm
