// The matrix products that encoder and decoder share, and the KV cache.
#include "kernels/cpu/cpu.hpp"

#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <mutex>
#include <type_traits>
#include <utility>

namespace fvlm {
namespace {

void gelu_in_place(View<float> x) {
  for (std::int64_t r = 0; r < x.rows; ++r) simd::gelu(x.row(r), x.cols);
}

// One answer for both kinds of kernels, so that ONEDNN_MAX_CPU_ISA stands for a whole machine.
void follow_onednn() {
  static std::once_flag once;
  std::call_once(once, [] {
    if (const int bits = product_vector_bits(); bits != 0) simd::limit_vectors(bits);
  });
}

}  // namespace

int Cpu::calling_thread() {
  return omp_get_thread_num();
}

Cpu::Cpu(const CpuOptions& options)
    : formats_(options.formats),
      bf16_products_(options.bf16_products.value_or(has_native_bf16())),
      threads_(options.threads) {
  assert(threads_ > 0);
  switch (formats_.format.type) {
    case WeightFormat::Type::kF16:
      throw Error("the CPU backend keeps weights in f32, bf16, int8 or int4, not in f16");
    case WeightFormat::Type::kF32:
    case WeightFormat::Type::kBF16:
    case WeightFormat::Type::kInt8:
    case WeightFormat::Type::kInt4:
      break;
  }
  follow_onednn();
}

std::string Cpu::description() const {
  return fmt::format("cpu ({}, {} thread{})", simd::instruction_set(), threads_,
                     threads_ == 1 ? "" : "s");
}

// Products ---------------------------------------------------------------------------------------

template <class In, class Out>
void Cpu::multiply_packed(View<const In> in, const Linear& weights, bool accumulate, View<Out> out,
                          const ProductMemory& memory) {
  assert(multiplies_bf16(weights.shape) == (std::is_same_v<In, BFloat16>));
  const MatMulShape shape{.rows = in.rows,
                          .in = weights.shape.in,
                          .out = weights.shape.out,
                          .in_stride = in.stride,
                          .out_stride = out.stride,
                          .bf16 = std::is_same_v<In, BFloat16>,
                          .bf16_out = std::is_same_v<Out, BFloat16>,
                          .bias = !weights.bias.empty(),
                          .accumulate = accumulate};
  matmuls_->multiply(shape, in.data, weights.packed, weights.bias_data(), out.data,
                     memory.all_of_mine());
}

template void Cpu::multiply_packed(View<const float>, const Linear&, bool, View<float>,
                                   const ProductMemory&);
template void Cpu::multiply_packed(View<const BFloat16>, const Linear&, bool, View<float>,
                                   const ProductMemory&);
template void Cpu::multiply_packed(View<const BFloat16>, const Linear&, bool, View<BFloat16>,
                                   const ProductMemory&);

// Rows of a matrix in the type that they are multiplied in.
template <class T>
void Cpu::unpack_rows(const Linear& weights, std::int64_t first, std::int64_t count, T* to) {
  if (weights.shape.format.is_quantised()) {
    simd::dequantise(weights.quantised(), weights.stride, first, count, to);
  } else if constexpr (std::is_same_v<T, float>) {
    assert(weights.shape.format == WeightFormat::kBF16);
    simd::to_float(weights.weight.as<BFloat16>() + first * weights.stride, to,
                   count * weights.stride);
  }
}

void Cpu::multiply_rows(const TokenRows& in, const Linear& weights, const WeightRows& some,
                        bool accumulate, View<float> out) {
  const std::int64_t blocks = some.second == 0 ? 1 : 2;
  MatMulShape shape{.rows = in.rows,
                    .in = weights.shape.in,
                    .out = blocks * some.count,
                    .in_stride = in.stride,
                    .weight_stride = weights.stride,
                    .out_stride = out.stride,
                    .bf16 = multiplies_bf16(weights.shape),
                    .bias = !weights.bias.empty(),
                    .accumulate = accumulate};
  const float* bias = weights.bias.empty() ? nullptr : weights.bias.data() + some.first;
  const auto multiply = [&](const void* rows, float* to) {
    const void* input = shape.bf16 ? static_cast<const void*>(in.narrow) : in.wide;
    matmuls_->multiply(shape, input, rows, bias, to, in.memory.all_of_mine());
  };
  if (multiplied_in_place(weights.shape)) {
    shape.out = some.count;
    const auto element = static_cast<std::int64_t>(shape.bf16 ? sizeof(BFloat16) : sizeof(float));
    const auto row = [&](std::int64_t r) {
      return weights.weight.as<std::byte>() + r * weights.stride * element;
    };
    multiply(row(some.first), out.data);
    if (blocks == 2) multiply(row(some.second), out.data + some.count);
    return;
  }
  // Both blocks side by side in this thread's cache, as one matrix.
  const auto gather = [&](auto* panel) {
    unpack_rows(weights, some.first, some.count, panel);
    if (blocks == 2) {
      unpack_rows(weights, some.second, some.count, panel + some.count * weights.stride);
    }
    multiply(panel, out.data);
  };
  if (shape.bf16) {
    gather(in.panels.mine<BFloat16>());
  } else {
    gather(in.panels.mine<float>());
  }
}

std::int64_t Cpu::weight_block(const MatrixShape& weights, std::int64_t count) const {
  // oneDNN wants wide blocks; those it is handed from a panel in the cache should leave room there.
  constexpr std::int64_t kBlockRows = 512;
  constexpr std::int64_t kPanelBytes = 1024 * 1024;
  constexpr std::int64_t kGranule = 16;
  const std::int64_t row_bytes = stride_of(weights) * multiplied_bytes(weights);
  const std::int64_t most = multiplied_in_place(weights)
                                ? kBlockRows
                                : std::max(kPanelBytes / row_bytes / kGranule * kGranule, kGranule);
  // As many blocks for each thread.
  const std::int64_t rounds = (count + most * threads_ - 1) / (most * threads_);
  return round_up((count + rounds * threads_ - 1) / (rounds * threads_), kGranule);
}

template <class Work>
void Cpu::for_weight_blocks(const Linear& weights, std::int64_t count, const Work& work) {
  const std::int64_t block = weight_block(weights.shape, count);
#pragma omp parallel for num_threads(threads_) schedule(dynamic)
  for (std::int64_t first = 0; first < count; first += block) {
    work(first, std::min(block, count - first));
  }
}

Cpu::TokenScratch Cpu::token_scratch(Arena& arena, std::int64_t rows, const MatrixShape& weights,
                                     std::int64_t outputs, std::int64_t panels) const {
  const std::int64_t stride = stride_of(weights);
  TokenScratch scratch{.wide = arena.allocate<float>(rows * stride)};
  if (rows <= kMatVecRows) {
    if (!weights.format.is_quantised()) return scratch;
    scratch.q = arena.allocate<std::int16_t>(rows * stride);
    scratch.q_scales = arena.allocate<float>(rows);
    return scratch;
  }
  if (multiplies_bf16(weights)) scratch.narrow = arena.allocate<BFloat16>(rows * stride);
  const std::int64_t together = panels * weight_block(weights, outputs);
  if (!multiplied_in_place(weights)) {
    scratch.panels = Panels(arena, threads_, together * stride * multiplied_bytes(weights));
  }
  scratch.memory = product_memory(arena, rows, together);
  return scratch;
}

Cpu::LinearScratch Cpu::scratch(Arena& arena, const LinearShape& shape) const {
  const MatrixShape& weights = shape.weights;
  if (weights.rows == Rows::kTokens) {
    return {.tokens = token_scratch(arena, shape.rows, weights, weights.out, 1)};
  }
  const std::int64_t band = position_band(shape.rows);
  LinearScratch scratch{.memory = product_memory(arena, band, weights.out)};
  if (multiplies_bf16(weights)) scratch.narrow = {arena, threads_, band * weights.in};
  return scratch;
}

Cpu::ProductScratch Cpu::scratch(Arena& arena, const SwigluShape& shape) const {
  const MatrixShape& weights = shape.gate_up;
  const std::int64_t width = weights.out / 2;
  ProductScratch scratch{.tokens = token_scratch(arena, shape.rows, weights, width, 2),
                         .products = {}};
  if (shape.rows <= kMatVecRows) {
    scratch.products = arena.matrix<float>(shape.rows, weights.out);
  } else {
    scratch.block = {arena, threads_, shape.rows * 2 * weight_block(weights, width)};
  }
  return scratch;
}

Cpu::TokenScratch Cpu::scratch(Arena& arena, const LogitsShape& shape) const {
  return token_scratch(arena, shape.rows, shape.head, shape.head.out, 1);
}

Cpu::TokenRows Cpu::token_rows(View<const float> x, const Norm* norm, const Linear& weights,
                               const TokenScratch& scratch) const {
  const bool many = x.rows > kMatVecRows;
  const bool copied = norm != nullptr || x.cols != weights.stride || x.stride != weights.stride;
  const auto& [wide, narrow, q, q_scales, panels, memory] = scratch;
#pragma omp parallel for num_threads(threads_) if (many)
  for (std::int64_t r = 0; r < x.rows; ++r) {
    const std::int64_t at = r * weights.stride;
    if (norm != nullptr) {
      simd::rms_norm(x.row(r), norm->host.weight.data(), norm->eps, wide + at, x.cols);
    } else if (copied) {
      std::copy_n(x.row(r), x.cols, wide + at);
    }
    if (copied) std::fill_n(wide + at + x.cols, weights.stride - x.cols, 0.0F);
    const float* row = copied ? wide + at : x.row(r);
    if (narrow != nullptr) simd::to_bf16(row, narrow + at, weights.stride);
    if (q != nullptr) q_scales[r] = simd::quantise_input(row, q + at, weights.stride);
  }
  return {.wide = copied ? wide : x.data,
          .narrow = narrow,
          .q = q,
          .q_scales = q_scales,
          .panels = panels,
          .memory = memory,
          .rows = x.rows,
          .stride = weights.stride};
}

void Cpu::token_linear(const TokenRows& in, const Linear& weights, bool accumulate,
                       View<float> out) {
  if (in.rows > kMatVecRows) {
    for_weight_blocks(weights, weights.shape.out, [&](std::int64_t first, std::int64_t count) {
      multiply_rows(in, weights, {.first = first, .count = count}, accumulate,
                    {out.data + first, out.rows, count, out.stride});
    });
    return;
  }
  // The weights stream once past as many inputs as the kernel takes. Several pieces for each
  // thread: one that another program holds up leaves the rest of its work to the others.
  constexpr std::int64_t kPieces = 8;
  const std::int64_t piece =
      std::max<std::int64_t>(round_up(weights.shape.out / (kPieces * threads_), 16), 16);
#pragma omp parallel for num_threads(threads_) schedule(dynamic)
  for (std::int64_t first = 0; first < weights.shape.out; first += piece) {
    const std::int64_t last = std::min(first + piece, weights.shape.out);
    for (std::int64_t r = 0; r < in.rows; r += simd::kMaxInputs) {
      const simd::MatVec m{.x = in.wide + r * in.stride,
                           .q = in.q == nullptr ? nullptr : in.q + r * in.stride,
                           .q_scales = in.q == nullptr ? nullptr : in.q_scales + r,
                           .inputs = std::min(simd::kMaxInputs, in.rows - r),
                           .padded = weights.stride,
                           .bias = weights.bias_data(),
                           .out = out.row(r),
                           .out_stride = out.stride,
                           .accumulate = accumulate};
      if (weights.shape.format.is_quantised()) {
        simd::matvec(weights.quantised(), m, first, last);
      } else if (weights.shape.format == WeightFormat::kBF16) {
        simd::matvec(weights.weight.as<BFloat16>(), m, first, last);
      } else {
        simd::matvec(weights.weight.as<float>(), m, first, last);
      }
    }
  }
}

void Cpu::linear(Context& context, View<const float> in, const Linear& weights, Epilogue epilogue,
                 View<float> out) {
  assert(!epilogue.accumulate || epilogue.activation == Activation::kNone);
  const Arena::Scope scope(context.arena());
  const LinearScratch memory = scratch(context.arena(), LinearShape{in.rows, weights.shape});
  if (weights.shape.rows == Rows::kTokens) {
    token_linear(token_rows(in, nullptr, weights, memory.tokens), weights, epilogue.accumulate,
                 out);
    if (epilogue.activation == Activation::kGelu) gelu_in_place(out);
    return;
  }
  const std::int64_t band = position_band(in.rows);
#pragma omp parallel for num_threads(threads_) schedule(dynamic)
  for (std::int64_t first = 0; first < in.rows; first += band) {
    const std::int64_t rows = std::min(band, in.rows - first);
    const View<const float> input = in.slice_rows(first, rows);
    const View<float> result = out.slice_rows(first, rows);
    if (multiplies_bf16(weights.shape)) {
      BFloat16* const narrow = memory.narrow.mine();
      for (std::int64_t r = 0; r < rows; ++r)
        simd::to_bf16(input.row(r), narrow + r * in.cols, in.cols);
      multiply_packed(View<const BFloat16>{narrow, rows, in.cols, in.cols}, weights,
                      epilogue.accumulate, result, memory.memory);
    } else {
      multiply_packed(input, weights, epilogue.accumulate, result, memory.memory);
    }
    if (epilogue.activation == Activation::kGelu) gelu_in_place(result);
  }
}

// Decoder: SwiGLU multiplies blocks of gate rows together with the same rows of up.
void Cpu::swiglu(Context& context, View<const float> x, const Norm& norm, const Linear& gate_up,
                 View<float> out) {
  const Arena::Scope scope(context.arena());
  const ProductScratch memory = scratch(context.arena(), SwigluShape{x.rows, gate_up.shape});
  const TokenRows in = token_rows(x, &norm, gate_up, memory.tokens);
  const std::int64_t width = out.cols;
  if (x.rows <= kMatVecRows) {
    const View<float> both = memory.products;
    token_linear(in, gate_up, false, both);
    for (std::int64_t r = 0; r < x.rows; ++r)
      simd::swiglu(both.row(r), both.row(r) + width, out.row(r), width);
    return;
  }
  for_weight_blocks(gate_up, width, [&](std::int64_t first, std::int64_t count) {
    const View<float> both{memory.block.mine(), x.rows, 2 * count, 2 * count};
    multiply_rows(in, gate_up, {.first = first, .count = count, .second = width + first}, false,
                  both);
    for (std::int64_t r = 0; r < x.rows; ++r) {
      simd::swiglu(both.row(r), both.row(r) + count, out.row(r) + first, count);
    }
  });
}

void Cpu::logits(Context& context, View<const float> x, const Norm& norm, const Linear& head,
                 View<float> out) {
  const Arena::Scope scope(context.arena());
  const TokenScratch memory = scratch(context.arena(), LogitsShape{x.rows, head.shape});
  token_linear(token_rows(x, &norm, head, memory), head, false, out);
}

// Cache ------------------------------------------------------------------------------------------

void Cpu::copy_page(Context&, Cache& cache, std::int32_t from, std::int32_t to) const {
  const std::int64_t elements = 2 * cache.shape.layers * cache.shape.page_elements();
  std::copy_n(cache.keys(0, from, 0), elements, cache.keys(0, to, 0));
}

}  // namespace fvlm
