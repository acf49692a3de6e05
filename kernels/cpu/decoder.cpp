// The decoder's operations around its matrix products.
#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/cpu/cpu.hpp"
#include "kernels/cpu/gemm/tiles.hpp"
#include "kernels/support/rotation_table.hpp"

namespace fvlm {

float* Cpu::scratch(Arena& arena, const EmbedShape& shape) const {
  return arena.allocate<float>(stride_of(shape.table));
}

Cpu::AttentionInputScratch Cpu::scratch(Arena& arena, const AttentionInputShape& shape) const {
  return {.tokens = token_scratch(arena, shape.rows, shape.qkv, shape.qkv.out),
          .products = arena.matrix<float>(shape.rows, shape.qkv.out)};
}

Cpu::AttentionScratch Cpu::scratch(Arena& arena, const CachedAttentionShape& shape) const {
  const std::int64_t tokens = round_up(shape.tokens, kPageTokens);
  return {.pages = {arena, threads(), 2 * tokens / kPageTokens},
          .scores = {arena, threads(), simd::kMaxQueries * tokens}};
}

void Cpu::embed(Context& context, std::span<const std::int32_t> ids, const Linear& table,
                View<float> out) {
  const Arena::Scope scope(context.arena());
  float* const row = scratch(context.arena(), EmbedShape{std::ssize(ids), table.shape});
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const float* from = row;
    if (table.shape.format.is_quantised()) {
      simd::dequantise(table.quantised(), table.stride, ids[i], 1, row);
    } else if (stored_packed(table.shape)) {
      const BFloat16* const parts =
          table.weight.as<BFloat16>() + gemm::tiled_row(ids[i], table.shape.in);
      for (std::int64_t k = 0; k < table.shape.in; k += gemm::kTileDepth) {
        simd::to_float(parts + k * gemm::kPanel, row + k, gemm::kTileDepth);
      }
    } else if (table.shape.format == WeightFormat::kBF16) {
      simd::to_float(table.weight.as<BFloat16>() + ids[i] * table.stride, row, table.stride);
    } else {
      from = table.weight.as<float>() + ids[i] * table.stride;
    }
    std::copy_n(from, table.shape.in, out.row(static_cast<std::int64_t>(i)));
  }
}

void Cpu::attention_input(Context& context, View<const float> x, const Norm& norm,
                          const Linear& qkv, const AttentionShape& shape, const DecoderBatch& batch,
                          std::int64_t layer, Cache& cache, View<float> query) {
  const Arena::Scope scope(context.arena());
  const auto memory = scratch(context.arena(), AttentionInputShape{x.rows, qkv.shape});
  const View<float> all = memory.products;
  context.is_prefill = batch.is_prefill;
  token_linear(token_rows(x, &norm, qkv, batch.is_prefill, memory.tokens), qkv, batch.is_prefill,
               false, all);
  const std::int64_t dim = shape.head_dim;
  const std::int64_t half = dim / 2;
  for (const Segment& segment : batch.segments) {
    for_rows(segment.rows, batch.is_prefill, [&](std::int64_t i) {
      const std::int64_t position = segment.position + i;
      const float* cosine = cache.rotation(position);
      float* row = all.row(segment.first_row + i);
      simd::rotate(row, shape.heads + shape.kv_heads, dim, cosine, cosine + half);
      std::copy_n(row, query.cols, query.row(segment.first_row + i));
      const std::int32_t page = segment.pages[static_cast<std::size_t>(position / kPageTokens)];
      const std::int64_t slot = position % kPageTokens;
      for (std::int64_t h = 0; h < shape.kv_heads; ++h) {
        const float* key = row + (shape.heads + h) * dim;
        float* to = cache.keys(layer, page, h) + slot;
        for (std::int64_t d = 0; d < dim; ++d) to[d * kPageTokens] = key[d];
        std::copy_n(key + shape.kv_heads * dim, dim, cache.values(layer, page, h) + slot * dim);
      }
    });
  }
}

Cpu::Cache Cpu::make_cache(const CacheShape& shape, const AttentionShape& attention) const {
  return {.shape = shape,
          .memory = Buffer(static_cast<std::size_t>(shape.elements()) * sizeof(float)),
          .rotations = rotation_table(shape.tokens(), shape.head_dim, attention.rope_theta)};
}

// The query heads of one token that share a kv head see the same keys: one block of queries.
void Cpu::attention(Context& context, View<const float> query, const AttentionShape& shape,
                    const DecoderBatch& batch, std::int64_t layer, const Cache& cache,
                    View<float> out) {
  const Arena::Scope scope(context.arena());
  const AttentionScratch memory =
      scratch(context.arena(), CachedAttentionShape{shape, cache.shape.tokens()});
  const std::int64_t dim = shape.head_dim;
  const std::int64_t group = shape.heads / shape.kv_heads;
  for (const Segment& segment : batch.segments) {
    team_->for_each(segment.rows * shape.kv_heads, [&](std::int64_t task) {
      const std::int64_t i = task / shape.kv_heads;
      const std::int64_t kv_head = task % shape.kv_heads;
      const std::int64_t keys = segment.position + i + 1;
      const auto pages = static_cast<std::size_t>((keys + kPageTokens - 1) / kPageTokens);
      const float** const key_pages = memory.pages.mine();
      const float** const value_pages = key_pages + pages;
      for (std::size_t p = 0; p < pages; ++p) {
        key_pages[p] = cache.keys(layer, segment.pages[p], kv_head);
        value_pages[p] = cache.values(layer, segment.pages[p], kv_head);
      }
      const std::int64_t row = segment.first_row + i;
      for (std::int64_t h = 0; h < group; h += simd::kMaxQueries) {
        const std::int64_t column = (kv_head * group + h) * dim;
        simd::attention({.key_pages = key_pages,
                         .value_pages = value_pages,
                         .keys = keys,
                         .head_dim = dim,
                         .scale = 1 / std::sqrt(static_cast<float>(dim)),
                         .query = query.row(row) + column,
                         .query_stride = dim,
                         .queries = std::min(simd::kMaxQueries, group - h),
                         .scores = memory.scores.mine(),
                         .out = out.row(row) + column,
                         .out_stride = dim});
      }
    });
  }
}

}  // namespace fvlm
