// The matrix products that encoder and decoder share, and the KV cache.
#include "kernels/cpu/cpu.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <mutex>
#include <type_traits>
#include <utility>

#include "kernels/cpu/gemm/tiles.hpp"
#include "kernels/cpu/instruction_set.hpp"

namespace fvlm {
namespace {

void gelu_in_place(View<float> x) {
  for (std::int64_t r = 0; r < x.rows; ++r) simd::gelu(x.row(r), x.cols);
}

// The vector kernels choose for themselves, but know nothing of FASTVLM_MAX_ISA.
void limit_vectors() {
  static std::once_flag once;
  std::call_once(once, [] {
    const InstructionSet set = instruction_set();
    if (set < InstructionSet::kAvx512) simd::limit_vectors(set < InstructionSet::kAvx2 ? 128 : 256);
  });
}

}  // namespace

Cpu::Cpu(const CpuOptions& options)
    : formats_(options.formats),
      bf16_kernel_(options.bf16_kernel.value_or(gemm::bf16_kernel())),
      team_(std::make_unique<ThreadTeam>(options.threads)) {
  switch (formats_.format.type) {
    case WeightFormat::Type::kF16:
      throw Error("the CPU backend keeps weights in f32, bf16, int8 or int4, not in f16");
    case WeightFormat::Type::kF32:
    case WeightFormat::Type::kBF16:
    case WeightFormat::Type::kInt8:
    case WeightFormat::Type::kInt4:
      break;
  }
  limit_vectors();
}

std::string Cpu::description() const {
  return fmt::format("cpu ({}, {} thread{})", simd::instruction_set(), threads(),
                     threads() == 1 ? "" : "s");
}

// Products ---------------------------------------------------------------------------------------

template <class In, class Out>
void Cpu::multiply_positions(View<const In> in, const Linear& weights, bool accumulate,
                             View<Out> out, const ProductMemory& memory) {
  const MatrixShape& matrix = weights.shape;
  const gemm::Product product{.kernel = kernel_of(matrix),
                              .rows = in.rows,
                              .outputs = matrix.out,
                              .depth = matrix.in,
                              .inputs = in.data,
                              .input_stride = in.stride,
                              .weights = weights.weight.template as<std::byte>(),
                              .bias = weights.bias_data(),
                              .out_stride = out.stride,
                              .accumulate = accumulate};
  assert(multiplies_bf16(matrix) == (std::is_same_v<In, BFloat16>));
  gemm::multiply(product, memory.mine(), out.data);
}

template void Cpu::multiply_positions(View<const float>, const Linear&, bool, View<float>,
                                      const ProductMemory&);
template void Cpu::multiply_positions(View<const BFloat16>, const Linear&, bool, View<float>,
                                      const ProductMemory&);
template void Cpu::multiply_positions(View<const BFloat16>, const Linear&, bool, View<BFloat16>,
                                      const ProductMemory&);

// Weight rows [first, first + count) as the kernel reads them.
void Cpu::pack_block(const Linear& weights, std::int64_t first, std::int64_t count,
                     const TokenScratch& scratch, gemm::Product& product) const {
  const MatrixShape& matrix = weights.shape;
  const std::int64_t at = first * weights.stride;
  std::byte* const panels = scratch.panels.mine();
  product.weights = panels;
  if (stored_packed(matrix)) {
    product.weights = weights.weight.as<BFloat16>() + gemm::tiled_row(first, matrix.in);
    return;
  }
  if (matrix.format == WeightFormat::kBF16 && !multiplies_bf16(matrix)) {
    gemm::pack_panels_widened(weights.weight.as<BFloat16>() + at, weights.stride, count, matrix.in,
                              reinterpret_cast<float*>(panels));
    return;
  }
  const std::byte* rows = weights.weight.as<std::byte>() + at * multiplied_bytes(matrix);
  if (matrix.format.is_quantised()) {
    std::byte* const unpacked = scratch.rows.mine();
    if (multiplies_bf16(matrix)) {
      simd::dequantise(weights.quantised(), weights.stride, first, count,
                       reinterpret_cast<BFloat16*>(unpacked));
    } else {
      simd::dequantise(weights.quantised(), weights.stride, first, count,
                       reinterpret_cast<float*>(unpacked));
    }
    rows = unpacked;
  }
  if (product.kernel == gemm::Kernel::kTiles) {
    product.weights = rows;
    product.weight_stride = weights.stride;
  } else {
    gemm::pack_panels(product.kernel, rows, weights.stride, count, matrix.in, panels);
  }
}

void Cpu::multiply_rows(const TokenRows& in, const Linear& weights, std::int64_t first,
                        std::int64_t count, bool accumulate, View<float> out) const {
  if (!in.in_gemm) return stream_rows(in, weights, first, count, accumulate, out);
  const MatrixShape& matrix = weights.shape;
  gemm::Product product{.kernel = kernel_of(matrix),
                        .rows = in.rows,
                        .outputs = count,
                        .depth = matrix.in,
                        .inputs = in.wide,
                        .input_stride = in.stride,
                        .bias = weights.bias.empty() ? nullptr : weights.bias.data() + first,
                        .out_stride = out.stride,
                        .accumulate = accumulate};
  if (product.kernel == gemm::Kernel::kTiles) {
    product.inputs = in.tiled;
    product.reordered = true;
  } else if (multiplies_bf16(matrix)) {
    product.inputs = in.narrow;
  }
  pack_block(weights, first, count, in.scratch, product);
  gemm::multiply(product, in.scratch.memory.mine(), out.data);
}

// The weights stream once past as many inputs as the kernel takes.
void Cpu::stream_rows(const TokenRows& in, const Linear& weights, std::int64_t first,
                      std::int64_t count, bool accumulate, View<float> out) const {
  for (std::int64_t r = 0; r < in.rows; r += simd::kMaxInputs) {
    const simd::MatVec m{.x = in.wide + r * in.stride,
                         .q = in.q == nullptr ? nullptr : in.q + r * in.stride,
                         .q_scales = in.q == nullptr ? nullptr : in.q_scales + r,
                         .inputs = std::min(simd::kMaxInputs, in.rows - r),
                         .padded = weights.stride,
                         .bias = weights.bias.empty() ? nullptr : weights.bias.data() + first,
                         .out = out.row(r),
                         .out_stride = out.stride,
                         .accumulate = accumulate};
    const std::int64_t at = first * weights.stride;
    if (weights.shape.format.is_quantised()) {
      simd::matvec(weights.quantised(first), m, 0, count);
    } else if (weights.shape.format == WeightFormat::kBF16) {
      simd::matvec(weights.weight.as<BFloat16>() + at, m, 0, count);
    } else {
      simd::matvec(weights.weight.as<float>() + at, m, 0, count);
    }
  }
}

std::int64_t Cpu::weight_block(const MatrixShape& weights, bool is_prefill,
                               std::int64_t count) const {
  // Weights that are unpacked for a GEMM should leave room in a core's cache.
  constexpr std::int64_t kBlockRows = 512;
  constexpr std::int64_t kBlockBytes = 256 * 1024;
  constexpr std::int64_t kGranule = gemm::kPanel;
  const std::int64_t row_bytes = stride_of(weights) * multiplied_bytes(weights);
  const std::int64_t cached =
      kernel_of(weights) == gemm::Kernel::kTiles ? kBlockRows : kBlockBytes / row_bytes;
  const std::int64_t piece = is_prefill ? cached : count / (kPieces * threads());
  const std::int64_t most = std::clamp(piece / kGranule * kGranule, kGranule, kBlockRows);
  // As many blocks for each thread.
  const std::int64_t rounds = (count + most * threads() - 1) / (most * threads());
  return round_up((count + rounds * threads() - 1) / (rounds * threads()), kGranule);
}

template <class Work>
void Cpu::for_weight_blocks(const Linear& weights, bool is_prefill, std::int64_t count,
                            const Work& work) {
  const std::int64_t block = weight_block(weights.shape, is_prefill, count);
  team_->for_blocks(count, block, work);
}

// A pass of either kind may follow.
Cpu::TokenScratch Cpu::token_scratch(Arena& arena, std::int64_t rows, const MatrixShape& weights,
                                     std::int64_t outputs) const {
  const std::int64_t stride = stride_of(weights);
  const gemm::Kernel kernel = kernel_of(weights);
  const std::int64_t block =
      std::max(weight_block(weights, true, outputs), weight_block(weights, false, outputs));
  TokenScratch scratch{.wide = arena.allocate<float>(rows * stride)};
  if (weights.format.is_quantised()) {
    scratch.q = arena.allocate<std::int16_t>(rows * stride);
    scratch.q_scales = arena.allocate<float>(rows);
  }
  if (multiplies_bf16(weights)) scratch.narrow = arena.allocate<BFloat16>(rows * stride);
  if (weights.format.is_quantised()) {
    scratch.rows = {arena, threads(), block * stride * multiplied_bytes(weights)};
  }
  if (kernel == gemm::Kernel::kTiles) {
    scratch.tiled = arena.allocate<BFloat16>(gemm::tiled_elements(rows, weights.in));
  } else {
    scratch.panels = {arena, threads(), gemm::panel_bytes(kernel, block, weights.in)};
  }
  scratch.memory = {arena, threads(),
                    gemm::scratch_bytes({.kernel = kernel,
                                         .rows = rows,
                                         .outputs = block,
                                         .depth = weights.in,
                                         .reordered = true})};
  return scratch;
}

Cpu::LinearScratch Cpu::scratch(Arena& arena, const LinearShape& shape) const {
  const MatrixShape& weights = shape.weights;
  if (weights.rows == Rows::kTokens) {
    return {.tokens = token_scratch(arena, shape.rows, weights, weights.out)};
  }
  const std::int64_t band = position_band(shape.rows);
  LinearScratch scratch{.memory = {arena, threads(), product_bytes(band, weights)}};
  if (multiplies_bf16(weights)) scratch.narrow = {arena, threads(), band * weights.in};
  return scratch;
}

Cpu::SwigluScratch Cpu::scratch(Arena& arena, const SwigluShape& shape) const {
  const MatrixShape& weights = shape.gate_up;
  const std::int64_t width = weights.out / 2;
  const std::int64_t block =
      std::max(weight_block(weights, true, width), weight_block(weights, false, width));
  return {.tokens = token_scratch(arena, shape.rows, weights, width),
          .products = {arena, threads(), shape.rows * 2 * block}};
}

Cpu::TokenScratch Cpu::scratch(Arena& arena, const LogitsShape& shape) const {
  return token_scratch(arena, shape.rows, shape.head, shape.head.out);
}

Cpu::TokenRows Cpu::token_rows(View<const float> x, const Norm* norm, const Linear& weights,
                               bool is_prefill, const TokenScratch& scratch) const {
  const bool gemm = in_gemm(weights.shape, is_prefill);
  const bool copied = norm != nullptr || x.cols != weights.stride || x.stride != weights.stride;
  BFloat16* const narrow = gemm ? scratch.narrow : nullptr;
  std::int16_t* const q = gemm ? nullptr : scratch.q;
  for_rows(x.rows, is_prefill, [&](std::int64_t r) {
    const std::int64_t at = r * weights.stride;
    float* const wide = scratch.wide + at;
    if (norm != nullptr) {
      simd::rms_norm(x.row(r), norm->host.weight.data(), norm->eps, wide, x.cols);
    } else if (copied) {
      std::copy_n(x.row(r), x.cols, wide);
    }
    if (copied) std::fill_n(wide + x.cols, weights.stride - x.cols, 0.0F);
    const float* row = copied ? wide : x.row(r);
    if (narrow != nullptr) simd::to_bf16(row, narrow + at, weights.stride);
    if (q != nullptr) scratch.q_scales[r] = simd::quantise_input(row, q + at, weights.stride);
  });
  BFloat16* const tiled = gemm ? scratch.tiled : nullptr;
  if (tiled != nullptr) {
    team_->for_blocks(x.rows, gemm::kTileRows, [&](std::int64_t r, std::int64_t count) {
      gemm::reorder_inputs(narrow + r * weights.stride, weights.stride, count, x.cols,
                           tiled + gemm::tiled_elements(r, x.cols));
    });
  }
  return {.wide = copied ? scratch.wide : x.data,
          .narrow = narrow,
          .tiled = tiled,
          .q = q,
          .q_scales = scratch.q_scales,
          .in_gemm = gemm,
          .rows = x.rows,
          .stride = weights.stride,
          .scratch = scratch};
}

void Cpu::token_linear(const TokenRows& in, const Linear& weights, bool is_prefill, bool accumulate,
                       View<float> out) {
  for_weight_blocks(weights, is_prefill, weights.shape.out,
                    [&](std::int64_t first, std::int64_t count) {
                      multiply_rows(in, weights, first, count, accumulate,
                                    {out.data + first, out.rows, count, out.stride});
                    });
}

void Cpu::linear(Context& context, View<const float> in, const Linear& weights, Epilogue epilogue,
                 View<float> out) {
  assert(!epilogue.accumulate || epilogue.activation == Activation::kNone);
  const Arena::Scope scope(context.arena());
  const LinearScratch memory = scratch(context.arena(), LinearShape{in.rows, weights.shape});
  if (weights.shape.rows == Rows::kTokens) {
    token_linear(token_rows(in, nullptr, weights, context.is_prefill, memory.tokens), weights,
                 context.is_prefill, epilogue.accumulate, out);
    if (epilogue.activation == Activation::kGelu) gelu_in_place(out);
    return;
  }
  const std::int64_t band = position_band(in.rows);
  team_->for_blocks(in.rows, band, [&](std::int64_t first, std::int64_t rows) {
    const View<const float> input = in.slice_rows(first, rows);
    const View<float> result = out.slice_rows(first, rows);
    if (multiplies_bf16(weights.shape)) {
      BFloat16* const narrow = memory.narrow.mine();
      for (std::int64_t r = 0; r < rows; ++r)
        simd::to_bf16(input.row(r), narrow + r * in.cols, in.cols);
      multiply_positions(View<const BFloat16>{narrow, rows, in.cols, in.cols}, weights,
                         epilogue.accumulate, result, memory.memory);
    } else {
      multiply_positions(input, weights, epilogue.accumulate, result, memory.memory);
    }
    if (epilogue.activation == Activation::kGelu) gelu_in_place(result);
  });
}

// Blocks of gate rows are multiplied together with the same rows of up.
void Cpu::swiglu(Context& context, View<const float> x, const Norm& norm, const Linear& gate_up,
                 View<float> out) {
  const Arena::Scope scope(context.arena());
  const auto memory = scratch(context.arena(), SwigluShape{x.rows, gate_up.shape});
  const TokenRows in = token_rows(x, &norm, gate_up, context.is_prefill, memory.tokens);
  const std::int64_t width = out.cols;
  for_weight_blocks(gate_up, context.is_prefill, width,
                    [&](std::int64_t first, std::int64_t count) {
                      const View<float> both{memory.products.mine(), x.rows, 2 * count, 2 * count};
                      multiply_rows(in, gate_up, first, count, false, both.first_cols(count));
                      multiply_rows(in, gate_up, width + first, count, false,
                                    {both.data + count, both.rows, count, both.stride});
                      for (std::int64_t r = 0; r < x.rows; ++r) {
                        simd::swiglu(both.row(r), both.row(r) + count, out.row(r) + first, count);
                      }
                    });
}

void Cpu::logits(Context& context, View<const float> x, const Norm& norm, const Linear& head,
                 View<float> out) {
  const Arena::Scope scope(context.arena());
  const TokenScratch memory = scratch(context.arena(), LogitsShape{x.rows, head.shape});
  token_linear(token_rows(x, &norm, head, false, memory), head, false, false, out);
}

// Cache ------------------------------------------------------------------------------------------

void Cpu::copy_page(Context&, Cache& cache, std::int32_t from, std::int32_t to) const {
  const std::int64_t elements = 2 * cache.shape.layers * cache.shape.page_elements();
  std::copy_n(cache.keys(0, from, 0), elements, cache.keys(0, to, 0));
}

}  // namespace fvlm
