// Which kernel runs, and what its epilogue is: see token_products.hpp.
#include "kernels/cuda/gemm/token_products.hpp"

#include <algorithm>

#include "kernels/cuda/gemm/hopper/launch.hpp"
#include "kernels/cuda/gemm/hopper/quantised_launch.hpp"
#include "kernels/cuda/gemm/token_tile.hpp"
#include "kernels/cuda/gemv/skinny_gemm.hpp"
#include "kernels/cuda/gemv/token_product.hpp"
#include "kernels/cuda/rowwise/rowwise.hpp"

namespace fvlm {

namespace target = FVLM_CUDA_TARGET;
using target::kTarget;
using target::TokenInput;
using target::TokenOutput;
using target::TokenOutputKind;

namespace {

// Whether wgmma multiplies: on compute capability 9.0, where boxes of a matrix can be copied.
bool fits_hopper(const DeviceShape& device, const TokenInput<BFloat16>& input,
                 const TokenOutput<BFloat16>& output) {
  constexpr int kSwizzledRows = 8;  // of the least box
  return device.major == 9 && input.weights.in % 8 == 0 && input.weights.row_bytes % 16 == 0 &&
         target::is_aligned(input.x, input.stride) &&
         (output.kind != TokenOutputKind::kAttentionInput || output.half() % kSwizzledRows == 0);
}

// The columns of outputs in pairs. Rows of the weights that are copied at once are those of a head.
target::PairedColumns pairs_of(const TokenOutput<BFloat16>& output) {
  constexpr int kMostRows = 64;
  const int most = output.kind == TokenOutputKind::kSwiglu
                       ? kMostRows
                       : std::min(kMostRows, output.half() & -output.half());
  return {output.half(), most};
}

// Whether the result can be stored in boxes, as that of every real model: not q, k and v, of which
// rows of the cache are all over the memory, and not logits, which are float32.
bool fits_boxes(const TokenOutput<BFloat16>& output) {
  const int cols = output.kind == TokenOutputKind::kSwiglu ? output.half() : output.outputs;
  return output.kind != TokenOutputKind::kAttentionInput && output.logits == nullptr &&
         output.aligned && cols % 8 == 0;
}

template <class Norm>
void multiply_prompt_on_hopper(Stream<kTarget>& stream, int multiprocessors, int tile,
                               const TokenInput<BFloat16>& input, const Norm& norm,
                               const SplitSums& split, const TokenOutput<BFloat16>& output) {
  const DeviceMatrix& w = input.weights;
  const View<const BFloat16> a{input.x, input.rows, w.in, input.stride};
  const View<const BFloat16> b{reinterpret_cast<const BFloat16*>(w.weight), w.out, w.in,
                               w.row_bytes / 2};
  if constexpr (!Norm::kMeasures) {
    if (output.kind == TokenOutputKind::kLinear && output.logits == nullptr) {
      const auto multiply = [&]<Activation kActivation>() {
        target::multiply_linear_on_hopper(
            stream, multiprocessors, a, b, norm,
            target::StoreRows<BFloat16, kActivation>(
                output.out, output.stride, output.outputs, output.bias,
                output.accumulate ? output.out : nullptr, output.stride),
            split, tile);
      };
      return output.gelu ? multiply.template operator()<Activation::kGelu>()
                         : multiply.template operator()<Activation::kNone>();
    }
    if (output.kind == TokenOutputKind::kLinear) {
      return target::multiply_on_hopper(stream, multiprocessors, a, b, target::PlainColumns{}, norm,
                                        output, tile);
    }
  }
  if (fits_boxes(output)) {
    return target::multiply_swiglu_on_hopper(
        stream, multiprocessors, a, b, pairs_of(output), norm, output.bias,
        {output.out, input.rows, output.half(), output.stride}, tile);
  }
  target::multiply_on_hopper(stream, multiprocessors, a, b, pairs_of(output), norm, output, tile);
}

// Of a prompt's tokens.
template <target::WeightType kType>
void multiply_prompt(Stream<kTarget>& stream, const DeviceShape& device, int tile,
                     const TokenInput<BFloat16>& input, const SplitSums& split,
                     const TokenOutput<BFloat16>& output) {
  if constexpr (kType == WeightFormat::Type::kBF16) {
    if (fits_hopper(device, input, output)) {
      const int blocks = device.multiprocessors;
      if (input.norm.weight == nullptr) {
        return multiply_prompt_on_hopper(stream, blocks, tile, input, target::NoNorm{}, split,
                                         output);
      }
      return multiply_prompt_on_hopper(stream, blocks, tile, input,
                                       target::RmsOfRows{input.norm.eps}, split, output);
    }
  }
  if constexpr (target::Weights<kType>::kQuantised) {
    if (fits_hopper(device, input, output)) {
      const bool in_boxes = fits_boxes(output) && !output.gelu;
      if (output.kind == TokenOutputKind::kLinear) {
        if (const DepthParts parts(input.weights.out, input.weights.in);
            parts.count() > 1 && in_boxes) {
          return target::multiply_quantised_parts<kType>(stream, device.multiprocessors, input,
                                                         parts, split, output, tile);
        }
        return target::multiply_quantised<kType>(stream, device.multiprocessors, input,
                                                 target::PlainColumns{}, output, in_boxes, tile);
      }
      return target::multiply_quantised<kType>(stream, device.multiprocessors, input,
                                               pairs_of(output), output, in_boxes, tile);
    }
  }
  target::launch_token_tile<kType>(stream, device.multiprocessors, tile, input, split, output);
}

// Whether the GEMM does what is left of the norm, or all.
template <class E>
bool has_norm(const DeviceShape& device, bool decodes, const TokenInput<E>& input,
              const TokenOutput<E>& output) {
  if (decodes) return target::fuses_norm(input);
  if constexpr (sizeof(E) == 2) {
    return input.norm.folded && input.weights.format.type == WeightFormat::Type::kBF16 &&
           output.kind != TokenOutputKind::kLinear && fits_hopper(device, input, output);
  } else {
    return false;
  }
}

template <class E>
void run(Stream<kTarget>& stream, const DeviceShape& device, TokenRoute route, View<const E> in,
         const DeviceNorm& norm, const DeviceMatrix& weights,
         const typename TokenKernels<kTarget, E>::Scratch& scratch, TokenOutput<E> output) {
  output.outputs = weights.out;
  output.bias = weights.bias;
  output.aligned = output.logits != nullptr ? target::is_aligned(output.logits, output.stride)
                                            : target::is_aligned(output.out, output.stride);
  TokenInput<E> input{in.data, in.stride, static_cast<int>(in.rows), norm, weights};
  const bool decodes =
      route.pass == TokenPass::kDecode && in.rows <= TokenKernels<kTarget, E>::kDecodeRows;
  if (norm.weight != nullptr && !has_norm(device, decodes, input, output)) {
    EmbedKernels<kTarget, E>::rms_norm(stream, in, norm, scratch.normed);
    input.x = scratch.normed.data;
    input.stride = scratch.normed.stride;
    input.norm = {};
  }
  target::for_weight_type(weights.format.type, [&](auto type) {
    if constexpr (target::has_tensor_cores<E>(type())) {
      if (!decodes) {
        return multiply_prompt<type()>(stream, device, route.tile, input, scratch.split, output);
      }
    }
    target::TokenGemv<E, type()>::multiply(stream, input, output, scratch.split);
  });
}

}  // namespace

template <Target t, class E>
std::int64_t TokenKernels<t, E>::linear_floats(std::int64_t rows, const MatrixShape& weights) {
  return std::max(split_floats(rows, weights), LinearKernels<t, E>::split_floats(rows, weights));
}

template <Target t, class E>
std::int64_t TokenKernels<t, E>::split_floats(std::int64_t rows, const MatrixShape& weights) {
  constexpr std::int64_t kMostTokens = 64;  // of a kernel
  static_assert(kMostTokens == kDecodeRows);
  constexpr std::int64_t kMostOutputs = 64;  // of a block
  if (!target::has_tensor_cores<E>(weights.format.type) || rows <= 8) return 0;
  const int segments = target::skinny_segments(
      static_cast<int>(weights.out),
      static_cast<int>(DeviceMatrix::bytes_of_row(weights.format, weights.in)));
  const std::int64_t parts = segments / target::SkinnyPlan::kPartSegments;
  if (parts <= 1) return 0;
  const std::int64_t outputs = (weights.out + kMostOutputs - 1) / kMostOutputs * kMostOutputs;
  return parts * outputs * kMostTokens;
}

template <Target t, class E>
void TokenKernels<t, E>::linear(Stream<t>& stream, const DeviceShape& device, TokenRoute route,
                                View<const E> in, const DeviceMatrix& weights, bool gelu,
                                bool accumulate, const SplitSums& split, View<E> out) {
  run<E>(stream, device, route, in, {}, weights, {.normed = {}, .split = split},
         {.out = out.data, .stride = out.stride, .gelu = gelu, .accumulate = accumulate});
}

template <Target t, class E>
void TokenKernels<t, E>::swiglu(Stream<t>& stream, const DeviceShape& device, TokenRoute route,
                                View<const E> x, const DeviceNorm& norm,
                                const DeviceMatrix& gate_up, const Scratch& scratch, View<E> out) {
  run<E>(stream, device, route, x, norm, gate_up, scratch,
         {.kind = TokenOutputKind::kSwiglu, .out = out.data, .stride = out.stride});
}

template <Target t, class E>
void TokenKernels<t, E>::attention_input(Stream<t>& stream, const DeviceShape& device,
                                         TokenRoute route, View<const E> x, const DeviceNorm& norm,
                                         const DeviceMatrix& qkv, const DeviceAttention& attention,
                                         const DeviceBatch& batch, const CacheLayer<E>& cache,
                                         const Scratch& scratch, View<E> query) {
  run<E>(stream, device, route, x, norm, qkv, scratch,
         {.kind = TokenOutputKind::kAttentionInput,
          .out = query.data,
          .stride = query.stride,
          .attention = attention,
          .cache = cache,
          .places = batch.places,
          .pages = batch.pages});
}

template <Target t, class E>
void TokenKernels<t, E>::logits(Stream<t>& stream, const DeviceShape& device, View<const E> x,
                                const DeviceNorm& norm, const DeviceMatrix& head,
                                const Scratch& scratch, View<float> out) {
  run<E>(stream, device, TokenPass::kDecode, x, norm, head, scratch,
         {.logits = out.data, .stride = out.stride});
}

template struct TokenKernels<kTarget, float>;
template struct TokenKernels<kTarget, BFloat16>;

}  // namespace fvlm
