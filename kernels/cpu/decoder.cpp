// The decoder's operations around its matrix products.
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/cpu/cpu.hpp"

namespace fvlm {

void Cpu::embed(std::span<const std::int32_t> ids, const Linear& table, View<float> out) {
  std::vector<float> row(static_cast<std::size_t>(table.stride));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::int64_t at = ids[i] * table.stride;
    const float* from = row.data();
    if (table.format.is_quantised()) {
      simd::dequantise(table.quantised(), table.stride, ids[i], 1, row.data());
    } else if (table.format == WeightFormat::kBF16) {
      simd::to_float(table.weight.as<BFloat16>() + at, row.data(), table.stride);
    } else {
      from = table.weight.as<float>() + at;
    }
    std::copy_n(from, table.in, out.row(static_cast<std::int64_t>(i)));
  }
}

void Cpu::prepare_rotations(const AttentionShape& shape, std::int64_t positions) {
  if (rotation_base_ != std::pair(shape.head_dim, shape.rope_theta)) {
    rotation_base_ = {shape.head_dim, shape.rope_theta};
    rotations_.clear();
  }
  const std::int64_t half = shape.head_dim / 2;
  for (std::int64_t p = std::ssize(rotations_) / shape.head_dim; p < positions; ++p) {
    std::vector<float> sines;
    for (std::int64_t i = 0; i < half; ++i) {
      const double angle =
          static_cast<double>(p) *
          std::pow(shape.rope_theta, -static_cast<double>(i) / static_cast<double>(half));
      rotations_.push_back(static_cast<float>(std::cos(angle)));
      sines.push_back(static_cast<float>(std::sin(angle)));
    }
    rotations_.insert(rotations_.end(), sines.begin(), sines.end());
  }
}

void Cpu::attention_input(View<const float> x, const Norm& norm, const Linear& qkv,
                          const AttentionShape& shape, const DecoderBatch& batch,
                          std::int64_t layer, Cache& cache, View<float> query) {
  const View<float> all{products_.get<float>(x.rows * qkv.out), x.rows, qkv.out, qkv.out};
  token_linear(token_rows(x, &norm, qkv), qkv, false, all);
  const std::int64_t dim = shape.head_dim;
  const std::int64_t half = dim / 2;
  for (const Segment& segment : batch.segments) {
    prepare_rotations(shape, segment.position + segment.rows);
#pragma omp parallel for num_threads(threads_) if (segment.rows > kMatVecRows)
    for (std::int64_t i = 0; i < segment.rows; ++i) {
      const std::int64_t position = segment.position + i;
      const float* cosine = rotation(position, dim);
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
    }
  }
}

// The query heads of one token that share a kv head see the same keys: one block of queries.
void Cpu::attention(View<const float> query, const AttentionShape& shape, const DecoderBatch& batch,
                    std::int64_t layer, const Cache& cache, View<float> out) {
  const std::int64_t dim = shape.head_dim;
  const std::int64_t group = shape.heads / shape.kv_heads;
  for (const Segment& segment : batch.segments) {
#pragma omp parallel for num_threads(threads_) schedule(dynamic)
    for (std::int64_t task = 0; task < segment.rows * shape.kv_heads; ++task) {
      const std::int64_t i = task / shape.kv_heads;
      const std::int64_t kv_head = task % shape.kv_heads;
      const std::int64_t keys = segment.position + i + 1;
      const auto pages = static_cast<std::size_t>((keys + kPageTokens - 1) / kPageTokens);
      std::vector<const float*> key_pages(pages);
      std::vector<const float*> value_pages(pages);
      for (std::size_t p = 0; p < pages; ++p) {
        key_pages[p] = cache.keys(layer, segment.pages[p], kv_head);
        value_pages[p] = cache.values(layer, segment.pages[p], kv_head);
      }
      const std::int64_t row = segment.first_row + i;
      for (std::int64_t h = 0; h < group; h += simd::kMaxQueries) {
        const std::int64_t column = (kv_head * group + h) * dim;
        simd::attention({.key_pages = key_pages.data(),
                         .value_pages = value_pages.data(),
                         .keys = keys,
                         .head_dim = dim,
                         .scale = 1 / std::sqrt(static_cast<float>(dim)),
                         .query = query.row(row) + column,
                         .query_stride = dim,
                         .queries = std::min(simd::kMaxQueries, group - h),
                         .scores = workspace().scores.get<float>(
                             simd::kMaxQueries * static_cast<std::int64_t>(pages) * kPageTokens),
                         .out = out.row(row) + column,
                         .out_stride = dim});
      }
    }
  }
}

}  // namespace fvlm
