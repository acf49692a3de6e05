// Which kernel runs, and what its epilogue is: see token_products.hpp.
#include "kernels/cuda/gemm/token_products.hpp"

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

// `scratch` is for the norm, if there is one.
template <class E>
void run(Stream<kTarget>& stream, TokenPass pass, View<const E> in, const DeviceNorm& norm,
         const DeviceMatrix& weights, View<E> scratch, TokenOutput<E> output) {
  output.outputs = weights.out;
  output.bias = weights.bias;
  TokenInput<E> input{in.data, in.stride, static_cast<int>(in.rows), norm, weights};
  const bool decodes =
      pass == TokenPass::kDecode && in.rows <= TokenKernels<kTarget, E>::kDecodeRows;
  if (norm.weight != nullptr && !(decodes && target::fuses_norm(input))) {
    EmbedKernels<kTarget, E>::rms_norm(stream, in, norm, scratch);
    input.x = scratch.data;
    input.stride = scratch.stride;
    input.norm = {};
  }
  target::for_weight_type(weights.format.type, [&](auto type) {
    if constexpr (target::has_tensor_cores<E>(type())) {
      if (!decodes) return target::launch_token_tile<type()>(stream, input, output);
    }
    target::TokenGemv<E, type()>::multiply(stream, input, output);
  });
}

}  // namespace

template <Target t, class E>
void TokenKernels<t, E>::linear(Stream<t>& stream, TokenPass pass, View<const E> in,
                                const DeviceMatrix& weights, bool gelu, bool accumulate,
                                View<E> out) {
  run<E>(stream, pass, in, {}, weights, {},
         {.out = out.data, .stride = out.stride, .gelu = gelu, .accumulate = accumulate});
}

template <Target t, class E>
void TokenKernels<t, E>::swiglu(Stream<t>& stream, TokenPass pass, View<const E> x,
                                const DeviceNorm& norm, const DeviceMatrix& gate_up,
                                Scratch scratch, View<E> out) {
  run<E>(stream, pass, x, norm, gate_up, scratch,
         {.kind = TokenOutputKind::kSwiglu, .out = out.data, .stride = out.stride});
}

template <Target t, class E>
void TokenKernels<t, E>::attention_input(Stream<t>& stream, TokenPass pass, View<const E> x,
                                         const DeviceNorm& norm, const DeviceMatrix& qkv,
                                         const DeviceAttention& attention, const DeviceBatch& batch,
                                         const CacheLayer<E>& cache, Scratch scratch,
                                         View<E> query) {
  run<E>(stream, pass, x, norm, qkv, scratch,
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
  run<E>(stream, TokenPass::kDecode, x, norm, head, scratch,
         {.logits = out.data, .stride = out.stride});
}

template struct TokenKernels<kTarget, float>;
template struct TokenKernels<kTarget, BFloat16>;

}  // namespace fvlm
