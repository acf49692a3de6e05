// Which kernel runs for how many rows, and what its epilogue is: see token_products.hpp.
#include "kernels/cuda/gemm/token_products.hpp"

#include <algorithm>
#include <type_traits>

#include "kernels/cuda/gemm/token_tile.hpp"
#include "kernels/cuda/gemv/token_product.hpp"
#include "kernels/cuda/rowwise/rowwise.hpp"

namespace fvlm {

namespace target = FVLM_CUDA_TARGET;
using target::kTarget;
using target::TokenInput;
using target::TokenOutput;
using target::TokenOutputKind;

namespace {

constexpr bool has_tiles(WeightFormat::Type type) {
  using enum WeightFormat::Type;
  return type == kBF16 || type == kInt8 || type == kInt4;
}

// The skinny GEMM of rows [first, first + count).
template <class E>
void run_rows(Stream<kTarget>& stream, TokenInput<E> input, TokenOutput<E> output, int first,
              int count) {
  input.x += first * input.stride;
  input.rows = count;
  if (output.out != nullptr) output.out += first * output.stride;
  if (output.logits != nullptr) output.logits += first * output.stride;
  if (output.places != nullptr) output.places += first;
  target::for_weight_type(input.weights.format.type, [&](auto type) {
    target::MatVecKernels<E, type()>::multiply(stream, input, output);
  });
}

// `scratch` is for the norm, if there is one.
template <class E>
void run(Stream<kTarget>& stream, View<const E> in, const DeviceNorm& norm,
         const DeviceMatrix& weights, View<E> scratch, TokenOutput<E> output) {
  output.outputs = weights.out;
  output.bias = weights.bias;
  TokenInput<E> input{in.data, in.stride, static_cast<int>(in.rows), norm, weights};
  constexpr int kMatVecRows = TokenKernels<kTarget, E>::kMatVecRows;
  if constexpr (std::is_same_v<E, BFloat16>) {
    if (input.rows > kMatVecRows && has_tiles(weights.format.type)) {
      if (norm.weight != nullptr) {
        EmbedKernels<kTarget, E>::rms_norm(stream, in, norm, scratch);
        input.x = scratch.data;
        input.stride = scratch.stride;
        input.norm = {};
      }
      target::for_weight_type(weights.format.type, [&](auto type) {
        if constexpr (has_tiles(type())) target::launch_token_tile<type()>(stream, input, output);
      });
      return;
    }
  }
  for (int first = 0; first < input.rows; first += kMatVecRows) {
    run_rows(stream, input, output, first, std::min(kMatVecRows, input.rows - first));
  }
}

}  // namespace

template <Target t, class E>
void TokenKernels<t, E>::linear(Stream<t>& stream, View<const E> in, const DeviceMatrix& weights,
                                bool gelu, bool accumulate, View<E> out) {
  run<E>(stream, in, {}, weights, {},
         {.out = out.data, .stride = out.stride, .gelu = gelu, .accumulate = accumulate});
}

template <Target t, class E>
void TokenKernels<t, E>::swiglu(Stream<t>& stream, View<const E> x, const DeviceNorm& norm,
                                const DeviceMatrix& gate_up, Scratch scratch, View<E> out) {
  run<E>(stream, x, norm, gate_up, scratch,
         {.kind = TokenOutputKind::kSwiglu, .out = out.data, .stride = out.stride});
}

template <Target t, class E>
void TokenKernels<t, E>::attention_input(Stream<t>& stream, View<const E> x, const DeviceNorm& norm,
                                         const DeviceMatrix& qkv, const DeviceAttention& attention,
                                         const DeviceBatch& batch, const CacheLayer<E>& cache,
                                         Scratch scratch, View<E> query) {
  run<E>(stream, x, norm, qkv, scratch,
         {.kind = TokenOutputKind::kAttentionInput,
          .out = query.data,
          .stride = query.stride,
          .attention = attention,
          .cache = cache,
          .places = batch.places,
          .pages = batch.pages});
}

template <Target t, class E>
void TokenKernels<t, E>::logits(Stream<t>& stream, View<const E> x, const DeviceNorm& norm,
                                const DeviceMatrix& head, Scratch scratch, View<float> out) {
  run<E>(stream, x, norm, head, scratch, {.logits = out.data, .stride = out.stride});
}

template struct TokenKernels<kTarget, float>;
template struct TokenKernels<kTarget, BFloat16>;

}  // namespace fvlm
