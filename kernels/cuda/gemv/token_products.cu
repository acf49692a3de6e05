// Which kernels multiply how many tokens, and what becomes of the products: see decoder.hpp.
#include <algorithm>
#include <type_traits>

#include "kernels/cuda/gemv/token_input.hpp"
#include "kernels/cuda/host/decoder.hpp"

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

// Rows [first, first + count) of a product.
template <class E>
void run_rows(Stream<kTarget>& stream, TokenInput<E> input, TokenOutput<E> output, int first,
              int count) {
  input.x += first * input.stride;
  input.rows = count;
  if (output.out != nullptr) output.out += first * output.stride;
  if (output.logits != nullptr) output.logits += first * output.stride;
  if (output.places != nullptr) output.places += first;
  target::for_weight_type(input.weights.format.type, [&](auto type) {
    target::launch_matvec<E, type()>(stream, input, output);
  });
}

// `scratch` is for the norm, if there is one.
template <class E>
void run(Stream<kTarget>& stream, View<const E> in, const DeviceNorm& norm,
         const DeviceMatrix& weights, View<E> scratch, TokenOutput<E> output) {
  output.outputs = weights.out;
  output.bias = weights.bias;
  TokenInput<E> input{in.data, in.stride, static_cast<int>(in.rows), norm, weights};
  constexpr int kMatVecRows = TokenKernels<kTarget>::kMatVecRows;
  if constexpr (std::is_same_v<E, BFloat16>) {
    if (input.rows > kMatVecRows && has_tiles(weights.format.type)) {
      if (norm.weight != nullptr) {
        EmbedKernels<kTarget>::rms_norm<E>(stream, in, norm, scratch);
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

template <>
template <class E>
void TokenKernels<kTarget>::linear(Stream<kTarget>& stream, View<const E> in,
                                   const DeviceMatrix& weights, bool gelu, bool accumulate,
                                   View<E> out) {
  run<E>(stream, in, {}, weights, {},
         {.out = out.data, .stride = out.stride, .gelu = gelu, .accumulate = accumulate});
}

template <>
template <class E>
void TokenKernels<kTarget>::swiglu(Stream<kTarget>& stream, View<const E> x, const DeviceNorm& norm,
                                   const DeviceMatrix& gate_up, Scratch<E> scratch, View<E> out) {
  run<E>(stream, x, norm, gate_up, scratch,
         {.kind = TokenOutputKind::kSwiglu, .out = out.data, .stride = out.stride});
}

template <>
template <class E>
void TokenKernels<kTarget>::attention_input(Stream<kTarget>& stream, View<const E> x,
                                            const DeviceNorm& norm, const DeviceMatrix& qkv,
                                            const DeviceAttention& attention,
                                            const DeviceBatch& batch, const CacheLayer<E>& cache,
                                            Scratch<E> scratch, View<E> query) {
  run<E>(stream, x, norm, qkv, scratch,
         {.kind = TokenOutputKind::kAttentionInput,
          .out = query.data,
          .stride = query.stride,
          .attention = attention,
          .cache = cache,
          .places = batch.places,
          .pages = batch.pages});
}

template <>
template <class E>
void TokenKernels<kTarget>::logits(Stream<kTarget>& stream, View<const E> x, const DeviceNorm& norm,
                                   const DeviceMatrix& head, Scratch<E> scratch, View<float> out) {
  run<E>(stream, x, norm, head, scratch, {.logits = out.data, .stride = out.stride});
}

#define FVLM_INSTANTIATE(E)                                                                       \
  template void TokenKernels<kTarget>::linear(Stream<kTarget>&, View<const E>,                    \
                                              const DeviceMatrix&, bool, bool, View<E>);          \
  template void TokenKernels<kTarget>::swiglu(Stream<kTarget>&, View<const E>, const DeviceNorm&, \
                                              const DeviceMatrix&, Scratch<E>, View<E>);          \
  template void TokenKernels<kTarget>::attention_input(                                           \
      Stream<kTarget>&, View<const E>, const DeviceNorm&, const DeviceMatrix&,                    \
      const DeviceAttention&, const DeviceBatch&, const CacheLayer<E>&, Scratch<E>, View<E>);     \
  template void TokenKernels<kTarget>::logits(Stream<kTarget>&, View<const E>, const DeviceNorm&, \
                                              const DeviceMatrix&, Scratch<E>, View<float>);
FVLM_INSTANTIATE(float)
FVLM_INSTANTIATE(BFloat16)
#undef FVLM_INSTANTIATE

}  // namespace fvlm
