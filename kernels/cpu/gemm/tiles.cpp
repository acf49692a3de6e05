#ifdef __x86_64__
#include "kernels/cpu/gemm/tiles.hpp"

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <type_traits>

#include "kernels/cpu/instruction_set.hpp"

namespace fvlm::gemm {
namespace {

#define FVLM_AMX \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,amx-tile,amx-bf16")))

// Tiles 0 to 3 hold sums, 4 and 5 weights, 6 and 7 inputs.
constexpr std::int64_t kTile = kTileRows * kTileRows;        // floats of a tile of sums
constexpr std::int64_t kInputTile = kTileRows * kTileDepth;  // elements
constexpr std::int64_t kLine = 64;                           // bytes of a tile's row
constexpr std::int64_t kTileBytes = kTileRows * kLine;
constexpr std::int64_t kPair = 2 * kTileRows;  // two tiles side by side
static_assert(kPair == kPanel);
// Tiles of the depth from a load to the prefetch that goes before it: the hardware's own
// prefetching ends with each page.
constexpr std::int64_t kAhead = 4;

struct alignas(64) TileShapes {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};

// For weights of so many outputs.
constexpr TileShapes tile_shapes(std::int64_t outputs) {
  TileShapes shapes;
  for (int tile = 0; tile < 8; ++tile) {
    shapes.row_bytes[tile] = kLine;
    shapes.rows[tile] = static_cast<std::uint8_t>(tile < 6 ? outputs : kTileRows);
  }
  return shapes;
}

struct ShapesByOutputs {
  TileShapes all[kTileRows + 1];
};
constexpr ShapesByOutputs shapes_by_outputs() {
  ShapesByOutputs shapes;
  for (std::int64_t outputs = 1; outputs <= kTileRows; ++outputs) {
    shapes.all[outputs] = tile_shapes(outputs);
  }
  return shapes;
}
constexpr ShapesByOutputs kShapes = shapes_by_outputs();

// The rows of 16 x 16 numbers of 32 bits become its columns.
FVLM_AMX inline void transpose(__m512 (&rows)[kTileRows]) {
  __m512 next[kTileRows];
  for (int i = 0; i < 16; i += 2) {
    next[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
    next[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    for (int half = 0; half < 2; ++half) {
      const __m512d even = _mm512_castps_pd(next[i + half]);
      const __m512d odd = _mm512_castps_pd(next[i + half + 2]);
      rows[i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(even, odd));
      rows[i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(even, odd));
    }
  }
  for (int i = 0; i < 4; ++i) {
    next[i] = _mm512_shuffle_f32x4(rows[i], rows[i + 4], 0x88);
    next[i + 4] = _mm512_shuffle_f32x4(rows[i], rows[i + 4], 0xdd);
    next[i + 8] = _mm512_shuffle_f32x4(rows[i + 8], rows[i + 12], 0x88);
    next[i + 12] = _mm512_shuffle_f32x4(rows[i + 8], rows[i + 12], 0xdd);
  }
  for (int i = 0; i < 8; ++i) {
    rows[i] = _mm512_shuffle_f32x4(next[i], next[i + 8], 0x88);
    rows[i + 8] = _mm512_shuffle_f32x4(next[i], next[i + 8], 0xdd);
  }
}

// A tile of sums, [16 outputs][16 inputs], goes to the results.
template <class T>
FVLM_AMX void write_results(const float* sums, const Product& product, std::int64_t input,
                            std::int64_t output, T* out) {
  const std::int64_t inputs = std::min(kTileRows, product.rows - input);
  const std::int64_t outputs = std::min(kTileRows, product.outputs - output);
  const auto mask = static_cast<__mmask16>((1U << outputs) - 1);
  __m512 rows[kTileRows];
  for (int i = 0; i < 16; ++i) rows[i] = _mm512_load_ps(sums + i * kTileRows);
  transpose(rows);
  const __m512 bias = product.bias == nullptr ? _mm512_setzero_ps()
                                              : _mm512_maskz_loadu_ps(mask, product.bias + output);
  for (int i = 0; i < 16; ++i) {
    if (i == inputs) return;
    T* const to = out + (input + i) * product.out_stride + output;
    const __m512 row = _mm512_add_ps(rows[i], bias);
    if constexpr (std::is_same_v<T, float>) {
      const __m512 before =
          product.accumulate ? _mm512_maskz_loadu_ps(mask, to) : _mm512_setzero_ps();
      _mm512_mask_storeu_ps(to, mask, _mm512_add_ps(before, row));
    } else {
      _mm256_mask_storeu_epi16(to, mask, (__m256i)_mm512_cvtneps_pbh(row));
    }
  }
}

struct Tiles {
  const char* weights;        // the first output's
  const char* next;           // what is read after them from memory, or null
  std::int64_t row_bytes;     // from one output to the next
  std::int64_t depth_bytes;   // from one tile to the next in depth
  std::int64_t output_bytes;  // from 16 outputs to the next
  const BFloat16* inputs;     // of the first 16
  std::int64_t next_inputs;   // elements from there to the next 16
  std::int64_t depth;         // in tiles
};

// Adds the products of kOutputs tiles of weights and kInputs of inputs to the sums: tile o + 2 i.
template <int kOutputs, int kInputs>
FVLM_AMX void add_products(const Tiles& t) {
  const char* w = t.weights;
  const auto* x = reinterpret_cast<const char*>(t.inputs);
  const std::int64_t next_x = t.next_inputs * std::int64_t{sizeof(BFloat16)};
  for (std::int64_t k = 0; k < t.depth; ++k) {
    _tile_loadd(4, w, t.row_bytes);
    _tile_loadd(6, x, kLine);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (kOutputs == 2) {
      _tile_loadd(5, w + t.output_bytes, t.row_bytes);
      _tile_dpbf16ps(1, 5, 6);
    }
    if constexpr (kInputs == 2) {
      _tile_loadd(7, x + next_x, kLine);
      _tile_dpbf16ps(2, 4, 7);
      if constexpr (kOutputs == 2) _tile_dpbf16ps(3, 5, 7);
    }
    if (t.next != nullptr) {
      const std::int64_t later = k + kAhead - t.depth;
      const char* const line =
          later < 0 ? w + kAhead * t.depth_bytes : t.next + later * t.depth_bytes;
      for (std::int64_t o = 0; o < kOutputs * kTileRows; ++o) {
        __builtin_prefetch(line + o * kLine, 0, 2);
      }
    }
    w += t.depth_bytes;
    x += kInputTile * sizeof(BFloat16);
  }
}

template <int kOutputs, int kInputs>
FVLM_AMX void add_part(const Tiles& tiles, bool first, float* sums) {
  if (first) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    _tile_loadd(0, sums, kLine);
    if constexpr (kOutputs == 2) _tile_loadd(1, sums + kTile, kLine);
    if constexpr (kInputs == 2) _tile_loadd(2, sums + 2 * kTile, kLine);
    if constexpr (kOutputs == 2 && kInputs == 2) _tile_loadd(3, sums + 3 * kTile, kLine);
  }
  add_products<kOutputs, kInputs>(tiles);
  _tile_stored(0, sums, kLine);
  if constexpr (kOutputs == 2) _tile_stored(1, sums + kTile, kLine);
  if constexpr (kInputs == 2) _tile_stored(2, sums + 2 * kTile, kLine);
  if constexpr (kOutputs == 2 && kInputs == 2) _tile_stored(3, sums + 3 * kTile, kLine);
}

// Two tiles of outputs, or one, from `output` on: all inputs, one part of the depth.
template <int kOutputs, class T>
FVLM_AMX void multiply_outputs(const Product& p, std::int64_t output, std::int64_t from,
                               std::int64_t to, float* scratch, T* out) {
  const std::int64_t depth = tiled_depth(p.depth);
  const bool waits = tiled_in_parts(p.rows, depth);
  for (std::int64_t input = 0; input < p.rows; input += kPair) {
    const std::int64_t pair = output / kPair * ((p.rows + kPair - 1) / kPair) + input / kPair;
    float* const sums = scratch + (waits ? 4 * pair + output % kPair / kTileRows : 0) * kTile;
    Tiles tiles{.weights = static_cast<const char*>(p.weights),
                .next = nullptr,
                .row_bytes = kLine,
                .depth_bytes = 2 * kTileBytes,
                .output_bytes = kTileBytes,
                .inputs = static_cast<const BFloat16*>(p.inputs) + input * depth + from * kTileRows,
                .next_inputs = kTileRows * depth,
                .depth = (to - from) / kTileDepth};
    std::int64_t pair_bytes = depth / kTileDepth * tiles.depth_bytes;
    const bool packed = p.weight_stride == 0;
    if (!packed) {
      tiles.row_bytes = p.weight_stride * static_cast<std::int64_t>(sizeof(BFloat16));
      tiles.depth_bytes = kLine;
      tiles.output_bytes = kTileRows * tiles.row_bytes;
      pair_bytes = 2 * tiles.output_bytes;
    }
    tiles.weights += output / kPair * pair_bytes + output % kPair / kTileRows * tiles.output_bytes +
                     from / kTileDepth * tiles.depth_bytes;
    // After the last, those that are in the cache already.
    if (packed && input == 0)
      tiles.next = tiles.weights + (output + kPair < p.outputs ? pair_bytes : 0);
    const bool two = input + kTileRows < p.rows;
    if (two) {
      add_part<kOutputs, 2>(tiles, from == 0, sums);
    } else {
      add_part<kOutputs, 1>(tiles, from == 0, sums);
    }
    if (to < depth) continue;
    for (int i = 0; i < (two ? 2 : 1); ++i) {
      for (int o = 0; o < kOutputs; ++o) {
        write_results(sums + (2 * i + o) * kTile, p, input + i * kTileRows, output + o * kTileRows,
                      out);
      }
    }
  }
}

template <class T>
FVLM_AMX void multiply_all(const Product& p, float* scratch, T* out) {
  assert(reinterpret_cast<std::uintptr_t>(scratch) % kLine == 0);
  // The compiler does not know that the instructions for tiles read memory.
  __asm__ volatile("" ::: "memory");
  const std::int64_t depth = tiled_depth(p.depth);
  const std::int64_t part = tiled_in_parts(p.rows, depth) ? kTiledPart : depth;
  for (std::int64_t from = 0; from < depth; from += part) {
    const std::int64_t to = std::min(from + part, depth);
    std::int64_t output = 0;
    _tile_loadconfig(&kShapes.all[kTileRows]);
    for (; output + kPair <= p.outputs; output += kPair) {
      multiply_outputs<2>(p, output, from, to, scratch, out);
    }
    for (; output < p.outputs; output += kTileRows) {
      _tile_loadconfig(&kShapes.all[std::min(kTileRows, p.outputs - output)]);
      multiply_outputs<1>(p, output, from, to, scratch, out);
    }
  }
  _tile_release();
}

}  // namespace

bool tiles_available() {
  static const bool allowed = [] {
    constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
    constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
    return instruction_set() >= InstructionSet::kAmx &&
           syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  }();
  return allowed;
}

FVLM_AMX void reorder_into_tiles(const BFloat16* inputs, std::int64_t stride, std::int64_t rows,
                                 std::int64_t depth, BFloat16* to) {
  for (std::int64_t first = 0; first < rows; first += kTileRows) {
    for (std::int64_t k = 0; k < depth; k += kTileDepth) {
      const auto mask =
          static_cast<__mmask32>((std::uint64_t{1} << std::min(kTileDepth, depth - k)) - 1);
      __m512 pairs[kTileRows];
      for (int i = 0; i < 16; ++i) {
        pairs[i] = first + i < rows ? _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(
                                          mask, inputs + (first + i) * stride + k))
                                    : _mm512_setzero_ps();
      }
      transpose(pairs);
      for (int i = 0; i < 16; ++i) _mm512_storeu_ps(to + i * kTileDepth, pairs[i]);
      to += kInputTile;
    }
  }
}

void multiply_tiles(const Product& product, float* scratch, float* out) {
  multiply_all(product, scratch, out);
}

void multiply_tiles(const Product& product, float* scratch, BFloat16* out) {
  multiply_all(product, scratch, out);
}

FVLM_AMX std::int64_t multiply_adds_tiles(std::int64_t rounds, float* result) {
  alignas(64) float tile[kTile] = {};
  _tile_loadconfig(&kShapes.all[kTileRows]);
  _tile_loadd(4, tile, kLine);
  _tile_loadd(6, tile, kLine);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (std::int64_t round = 0; round < rounds; ++round) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 6);
    _tile_dpbf16ps(2, 4, 6);
    _tile_dpbf16ps(3, 4, 6);
  }
  _tile_stored(0, tile, kLine);
  _tile_release();
  *result = tile[0];
  return rounds * 4 * kTile * kTileDepth;
}

}  // namespace fvlm::gemm
#endif  // __x86_64__
