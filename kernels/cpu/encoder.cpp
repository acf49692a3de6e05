// The encoder's operations. Each thread takes bands of image rows through a whole operation, so
// that what lies between its steps (the 4x wider hidden layer above all) stays in its cache.
#include <algorithm>
#include <type_traits>

#include "kernels/cpu/cpu.hpp"

namespace fvlm {
namespace {

// Positions of a band: their hidden layer fits in a core's second-level cache, and the weights,
// which stream by once for each band, are used often enough.
constexpr std::int64_t kBandPositions = 256;

// Rows of the stem's result in a band.
constexpr std::int64_t kStemRows = 8;

// Queries of a block of image attention.
constexpr std::int64_t kQueries = 128;

// Rows of an image in a band, so that every thread gets at least one band.
std::int64_t band_rows(FeatureMap<const float> map, int threads) {
  const std::int64_t share = (map.batch * map.height + threads - 1) / threads;
  return std::clamp(kBandPositions / map.width, std::int64_t{1}, std::min(share, map.height));
}

// Calls work(image, first row, rows) for bands of a map of this height.
template <class Work>
void for_bands(ThreadTeam& team, std::int64_t images, std::int64_t height, std::int64_t band,
               const Work& work) {
  const std::int64_t bands = (height + band - 1) / band;
  team.for_each(images * bands, [&](std::int64_t i) {
    const std::int64_t first = i % bands * band;
    work(i / bands, first, std::min(band, height - first));
  });
}

void convert(const float* from, float* to, std::int64_t count) {
  std::copy_n(from, count, to);
}
void convert(const float* from, BFloat16* to, std::int64_t count) {
  simd::to_bf16(from, to, count);
}

}  // namespace

// For a band of the stem's result, 2 rows of the half-size map for each, one more on either side.
Cpu::PerThread<float> Cpu::scratch(Arena& arena, const StemShape& shape) const {
  return {arena, threads(), (2 * kStemRows + 2) * (shape.width / 2) * shape.channels};
}

// The first convolution's rows are made a few at a time, just ahead of the depthwise one's need.
void Cpu::stem(Context& context, FeatureMap<const std::uint8_t> pixels, const Stem& conv,
               const Depthwise& depthwise, FeatureMap<float> out) {
  const std::int64_t half_height = pixels.height / 2;
  const std::int64_t half_width = pixels.width / 2;
  const Arena::Scope scope(context.arena());
  const auto memory =
      scratch(context.arena(), StemShape{out.batch, pixels.height, pixels.width, conv.channels});
  for_bands(*team_, out.batch, out.height, kStemRows,
            [&](std::int64_t image, std::int64_t first, std::int64_t rows) {
              // Output row y needs rows 2y - 1 .. 2y + 1 of the half-size map. The band's part of
              // that map is treated as an image of its own, whose missing edge rows are the
              // padding.
              const std::int64_t top = std::max<std::int64_t>(2 * first - 1, 0);
              const std::int64_t bottom = std::min(2 * (first + rows), half_height);
              const std::int64_t row_size = half_width * conv.channels;
              float* const half = memory.mine();
              // A band that does not begin the image has one row above its first window's centre; a
              // row of padding in front keeps the windows' parity.
              const bool shifted = top % 2 != 0;
              if (shifted) std::fill_n(half, row_size, 0.0F);
              simd::stem(pixels, image, conv, top, bottom - top, half + (shifted ? row_size : 0));
              const std::int64_t height = bottom - top + (shifted ? 1 : 0);
              const FeatureMap<const float> part{half, 1, height, half_width, conv.channels};
              simd::depthwise(part, 0, depthwise, Activation::kGelu, shifted ? 1 : 0, rows,
                              out.row(image, first));
            });
}

void Cpu::depthwise(Context&, FeatureMap<const float> in, const Depthwise& weights,
                    Activation activation, FeatureMap<float> out) {
  for_bands(*team_, out.batch, out.height, band_rows(out, threads()),
            [&](std::int64_t image, std::int64_t first, std::int64_t rows) {
              simd::depthwise(in, image, weights, activation, first, rows, out.row(image, first));
            });
}

Cpu::ConvFfnScratch Cpu::scratch(Arena& arena, const ConvFfnShape& shape) const {
  const std::int64_t element = multiplied_bytes(shape.fc1);
  const std::int64_t positions = ffn_band(shape.images, shape.height) * shape.width;
  return {.mixed = {arena, threads(), positions * shape.channels() * element},
          .hidden = {arena, threads(), kBandPositions * shape.fc1.out * element},
          .memory = {arena, threads(),
                     std::max(product_bytes(kBandPositions, shape.fc1),
                              product_bytes(kBandPositions, shape.fc2))}};
}

void Cpu::conv_ffn(Context& context, FeatureMap<const float> in, const Depthwise& conv,
                   const Linear& fc1, const Linear& fc2, FeatureMap<float> out) {
  const Arena::Scope scope(context.arena());
  const auto memory =
      scratch(context.arena(), ConvFfnShape{in.batch, in.height, in.width, fc1.shape, fc2.shape});
  if (multiplies_bf16(fc1.shape)) {
    conv_ffn_in<BFloat16>(memory, in, conv, fc1, fc2, out);
  } else {
    conv_ffn_in<float>(memory, in, conv, fc1, fc2, out);
  }
}

// A band is a few rows, because the depthwise filter also reads three rows on either side of it.
// Its positions go through the hidden layer in blocks.
template <class T>
void Cpu::conv_ffn_in(const ConvFfnScratch& scratch, FeatureMap<const float> in,
                      const Depthwise& conv, const Linear& fc1, const Linear& fc2,
                      FeatureMap<float> out) {
  const std::int64_t channels = in.channels;
  for_bands(*team_, in.batch, in.height, ffn_band(in.batch, in.height),
            [&](std::int64_t image, std::int64_t first, std::int64_t rows) {
              const std::int64_t positions = rows * in.width;
              const View<T> mixed{scratch.mixed.mine<T>(), positions, channels, channels};
              simd::depthwise(in, image, conv, Activation::kNone, first, rows, mixed.data);
              const View<float> result{out.row(image, first), positions, channels, channels};
              std::copy_n(in.row(image, first), positions * channels, result.data);
              T* const memory = scratch.hidden.mine<T>();
              for (std::int64_t p = 0; p < positions; p += kBandPositions) {
                const std::int64_t block = std::min(kBandPositions, positions - p);
                const View<T> hidden{memory, block, fc1.shape.out, fc1.shape.out};
                multiply_positions<T, T>(mixed.slice_rows(p, block), fc1, false, hidden,
                                         scratch.memory);
                simd::gelu(hidden.data, block * fc1.shape.out);
                multiply_positions<T, float>(hidden, fc2, true, result.slice_rows(p, block),
                                             scratch.memory);
              }
            });
}

void Cpu::layer_norm(Context&, View<const float> in, const Norm& norm, View<float> out) {
  for_rows(in.rows, true, [&](std::int64_t r) {
    simd::layer_norm(in.row(r), norm.host.weight.data(), norm.host.bias.data(), norm.eps,
                     out.row(r), in.cols);
  });
}

Cpu::ImageAttentionScratch Cpu::scratch(Arena& arena, const ImageAttentionShape& shape) const {
  const gemm::Kernel kernel = attention_kernel();
  const std::int64_t element = gemm::element_bytes(kernel);
  const auto product_bytes = [&](std::int64_t outputs, std::int64_t depth) {
    return gemm::scratch_bytes(
        {.kernel = kernel, .rows = kQueries, .outputs = outputs, .depth = depth});
  };
  return {
      .heads = {arena, threads(), 3 * shape.tokens * round_up(shape.head_dim, 2) * element},
      .weights = {arena, threads(), kQueries * shape.tokens * element},
      .key_panels = {arena, threads(), gemm::panel_bytes(kernel, shape.tokens, shape.head_dim)},
      .value_panels = {arena, threads(), gemm::panel_bytes(kernel, shape.head_dim, shape.tokens)},
      .scores = {arena, threads(), kQueries * shape.tokens},
      .memory = {arena, threads(),
                 std::max(product_bytes(shape.tokens, shape.head_dim),
                          product_bytes(shape.head_dim, shape.tokens))}};
}

void Cpu::image_attention(Context& context, View<const float> qkv, std::int64_t images,
                          std::int64_t head_dim, View<float> out) {
  const Arena::Scope scope(context.arena());
  const auto memory = scratch(context.arena(), ImageAttentionShape{images, qkv.rows / images,
                                                                   out.cols / head_dim, head_dim});
  if (attention_kernel() == gemm::Kernel::kFloat) {
    image_attention_in<float>(memory, qkv, images, head_dim, out);
  } else {
    image_attention_in<BFloat16>(memory, qkv, images, head_dim, out);
  }
}

// A task is one head of one image: softmax(scale Q K^T) V as two products for a block of queries.
template <class T>
void Cpu::image_attention_in(const ImageAttentionScratch& scratch, View<const float> qkv,
                             std::int64_t images, std::int64_t head_dim, View<float> out) {
  const gemm::Kernel kernel = attention_kernel();
  const std::int64_t tokens = qkv.rows / images;
  const std::int64_t heads = out.cols / head_dim;
  const std::int64_t stride = round_up(head_dim, 2);  // whole pairs of bfloat16
  const float scale = 1 / std::sqrt(static_cast<float>(head_dim));
  team_->for_each(images * heads, [&](std::int64_t task) {
    const std::int64_t first = task / heads * tokens;
    const std::int64_t column = task % heads * head_dim;
    // Each [tokens, stride].
    T* const queries = scratch.heads.mine<T>();
    T* const keys = queries + tokens * stride;
    T* const values = keys + tokens * stride;
    for (std::int64_t t = 0; t < tokens; ++t) {
      const float* query = qkv.row(first + t) + column;
      const float* key = query + out.cols;
      const float* value = key + out.cols;
      convert(query, queries + t * stride, head_dim);
      convert(key, keys + t * stride, head_dim);
      convert(value, values + t * stride, head_dim);
      std::fill(keys + t * stride + head_dim, keys + (t + 1) * stride, T());
    }
    gemm::pack_panels(kernel, keys, stride, tokens, head_dim, scratch.key_panels.mine());
    gemm::pack_panels_transposed(kernel, values, stride, head_dim, tokens,
                                 scratch.value_panels.mine());
    float* const scores = scratch.scores.mine();
    T* const weights = scratch.weights.mine<T>();
    for (std::int64_t t = 0; t < tokens; t += kQueries) {
      const std::int64_t rows = std::min(kQueries, tokens - t);
      gemm::multiply({.kernel = kernel,
                      .rows = rows,
                      .outputs = tokens,
                      .depth = head_dim,
                      .inputs = queries + t * stride,
                      .input_stride = stride,
                      .weights = scratch.key_panels.mine(),
                      .out_stride = tokens},
                     scratch.memory.mine(), scores);
      float reciprocals[kQueries];
      for (std::int64_t r = 0; r < rows; ++r) {
        reciprocals[r] = simd::softmax(scores + r * tokens, weights + r * tokens, tokens, scale);
      }
      float* const result = out.row(first + t) + column;
      gemm::multiply({.kernel = kernel,
                      .rows = rows,
                      .outputs = head_dim,
                      .depth = tokens,
                      .inputs = weights,
                      .input_stride = tokens,
                      .weights = scratch.value_panels.mine(),
                      .out_stride = out.stride},
                     scratch.memory.mine(), result);
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t d = 0; d < head_dim; ++d) result[r * out.stride + d] *= reciprocals[r];
      }
    }
  });
}

// And, on top, that of its products.
Cpu::SqueezeExciteScratch Cpu::scratch(Arena& arena, const SqueezeExciteShape& shape) const {
  const SqueezeExciteScratch own{arena.matrix<float>(shape.images, shape.reduce.in),
                                 arena.matrix<float>(shape.images, shape.reduce.out)};
  for (const MatrixShape& weights : {shape.reduce, shape.expand}) {
    const Arena::Scope scope(arena);
    scratch(arena, LinearShape{shape.images, weights});
  }
  return own;
}

void Cpu::squeeze_excite(Context& context, FeatureMap<const float> in, const Linear& reduce,
                         const Linear& expand, FeatureMap<float> out) {
  const Arena::Scope scope(context.arena());
  const SqueezeExciteScratch room =
      scratch(context.arena(), SqueezeExciteShape{in.batch, reduce.shape, expand.shape});
  const View<float> means = room.means;
  const View<float> gates = means;
  const View<float> middle = room.squeezed;
  const auto x = in.matrix();
  team_->for_each(in.batch, [&](std::int64_t b) {
    std::fill_n(means.row(b), in.channels, 0.0F);
    for (std::int64_t p = 0; p < in.positions(); ++p) {
      const float* row = x.row(b * in.positions() + p);
      for (std::int64_t c = 0; c < in.channels; ++c) means.row(b)[c] += row[c];
    }
    for (std::int64_t c = 0; c < in.channels; ++c)
      means.row(b)[c] /= static_cast<float>(in.positions());
  });
  linear(context, means, reduce, {}, middle);
  std::for_each_n(middle.data, in.batch * middle.cols, [](float& v) { v = std::max(v, 0.0F); });
  linear(context, middle, expand, {}, gates);
  std::for_each_n(gates.data, in.batch * gates.cols, [](float& v) { v = 1 / (1 + std::exp(-v)); });
  for_rows(x.rows, true, [&](std::int64_t r) {
    simd::gelu_scaled(x.row(r), gates.row(r / in.positions()), out.matrix().row(r), in.channels);
  });
}

}  // namespace fvlm
