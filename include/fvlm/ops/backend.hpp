// The operations a backend supplies, fused as a fast backend wants them fused. What each computes
// is written here once; the Ref backend is its plainest implementation.
//
// The contract has parts, so that a backend may implement some of them alone:
//   BackendMemory      execution contexts (a stream with scratch memory) and transfers
//   PacksWeights       conversion of parameters from their form on the host to the backend's
//   EncodesImages      the operations of FastViTHD and the projector
//   DecodesTokens      the operations of Qwen2
//   HasKvCache         the paged KV cache
//   EncoderBackend, DecoderBackend, Backend   what FastViTHD, Qwen2 and FastVlm require
//   ReportsScratch     the scratch memory of each operation, so that it can be planned
//   EngineBackend      a Backend as the engine requires it: also its limits and its description
//   SamplesTokens      optional: sampling where the logits are (sampling.hpp)
//
// Types that a backend defines
//   Context                        an ExecutionContext
//   Element                        the type of activations in memory: float, BFloat16
//   Linear, Depthwise, Stem, Norm  packed parameters: default-constructible and movable, since
//                                  models are built first and loaded afterwards
//   Cache                          the KV cache: movable
//
// Conventions. Views and maps point into the backend's own memory, except for what upload() takes
// and download() returns. Activations are passed as View<Element> and FeatureMap<Element>, inputs
// also as views of const Element. View [rows, cols]; FeatureMap [batch, height, width, channels].
// GELU is the erf form. `out` never overlaps an input. A call may return before its work is done;
// arguments in host memory are read before it returns, except for the images that upload() takes.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "fvlm/core/arena.hpp"
#include "fvlm/core/view.hpp"
#include "fvlm/ops/batch.hpp"
#include "fvlm/ops/epilogue.hpp"
#include "fvlm/ops/host_weights.hpp"
#include "fvlm/ops/pixels.hpp"
#include "fvlm/ops/shapes.hpp"
#include "fvlm/ops/spec.hpp"

namespace fvlm {

// The largest passes that a context must be able to run. make_context() reserves for them whatever
// the backend needs beside the arena, such as pinned staging buffers.
struct ContextSize {
  std::size_t scratch_bytes = 0;  // capacity of its arena
  std::int64_t images = 0;        // per encoder pass
  std::int64_t rows = 0;          // per decoder pass
  std::int64_t outputs = 0;       // rows per decoder pass with logits, and segments per batch
  std::int64_t vocabulary = 0;    // logits per row
  std::int64_t cache_pages = 0;   // of the KV cache that its passes use
};

// Where operations run: a stream, whose work is done in the order of the calls while the host may
// go on, and scratch memory for that work. Work on two contexts may overlap unless one waits for
// the other. A context is used by one thread at a time.
template <class C>
concept ExecutionContext = std::movable<C> && requires(C& context) {
  // Scratch memory. What models and operations allocate lives until the end of their Arena::Scope;
  // memory that is released and allocated again is reused in stream order.
  { context.arena() } -> std::same_as<Arena&>;
  // Later work here starts after all work that is on the other context by now.
  context.wait_for(context);
  // Whether all work here is done.
  { context.done() } -> std::same_as<bool>;
  // Blocks the host until it is.
  context.synchronize();
};

template <class B>
concept BackendMemory = ExecutionContext<typename B::Context> &&
    requires(B& backend, typename B::Context& context, std::span<const Pixels> pictures,
             FeatureMap<const std::uint8_t> pixels, View<typename B::Element> rows,
             View<float> logits, std::int64_t side) {
  // HostMemory (host_memory.hpp) implements this concept for backends that compute on the host.
  { backend.make_context(ContextSize{}) } -> std::same_as<typename B::Context>;

  // Host memory for the pixels of an image, of a kind that upload() reads fast (pinned, for CUDA).
  // Safe from any thread.
  { backend.pixel_memory(std::size_t{}) } -> std::same_as<Pixels>;
  // Images [side, side, 3] from the host -> [images, side, side, 3] in the backend's memory, valid
  // until the end of the caller's Arena::Scope. The images must not change before the pass is done.
  { backend.upload(context, pictures, side) } -> std::same_as<FeatureMap<const std::uint8_t>>;
  // Rows [rows, cols] as float32 on the host, of the same shape. Waits for the work that computes
  // them; valid until the next call that uses the context.
  { backend.download(context, rows) } -> std::same_as<View<float>>;
  { backend.download(context, logits) } -> std::same_as<View<float>>;
  // Copies rows; both views have the same shape and are contiguous (stride == cols).
  backend.copy(context, rows, rows);  // (context, from, to)
  // Runs work(): the operations of an encoder pass from `pixels` to `rows`. A backend may capture
  // them (CUDA graphs) and, for as many images at the same addresses, replay the capture instead of
  // calling work() again. So work() calls operations alone, no transfers and no waits, and what
  // else it does on the host, such as checking a stop_token, happens only while it is called.
  backend.run_pass(context, pixels, rows, [] {});
};

// Converts parameters from the host's folded form (host_weights.hpp) to the backend's. The host's
// form is valid during the call only.
template <class B>
concept PacksWeights = requires(B& backend) {
  { backend.pack(LinearSpec{}, HostLinear{}) } -> std::same_as<typename B::Linear>;
  { backend.pack(DepthwiseSpec{}, HostDepthwise{}) } -> std::same_as<typename B::Depthwise>;
  { backend.pack(StemSpec{}, HostStem{}) } -> std::same_as<typename B::Stem>;
  { backend.pack(NormSpec{}, HostNorm{}) } -> std::same_as<typename B::Norm>;
};

template <class B>
concept EncodesImages = requires(B& backend, typename B::Context& context,
                                 FeatureMap<const std::uint8_t> pixels,
                                 FeatureMap<typename B::Element> map,
                                 View<typename B::Element> rows, const typename B::Linear& linear,
                                 const typename B::Depthwise& depthwise,
                                 const typename B::Stem& stem, const typename B::Norm& norm,
                                 std::int64_t n) {
  // GELU(depthwise(GELU(conv(pixels)))), both 3x3, stride 2, zero padding 1: pixels [b, S, S, 3] ->
  // out [b, S/4, S/4, c].
  backend.stem(context, pixels, stem, depthwise, map);
  // Output channel o is a k x k filter over input channel o / multiplier, with zero padding k/2,
  // plus bias, then the activation; out has in / stride positions a side.
  backend.depthwise(context, map, depthwise, Activation::kGelu, map);  // (context, in, ..., out)
  // out = epilogue(in W^T + b): in [rows, in], out [rows, out].
  backend.linear(context, rows, linear, Epilogue{}, rows);
  // out = in + fc2(GELU(fc1(depthwise(in)))): in, out [b, h, w, c].
  backend.conv_ffn(context, map, depthwise, linear, linear, map);
  // (x - mean) / sqrt(variance + eps) * weight + bias over each row.
  backend.layer_norm(context, rows, norm, rows);  // (context, in, norm, out)
  // softmax(q k^T / sqrt(head_dim)) v for each of b images and each head. qkv [b * t, 3 c]: a row
  // is q, k, v, each with its heads side by side; out [b * t, c].
  backend.image_attention(context, rows, n, n, rows);  // (context, qkv, images, head_dim, out)
  // GELU(in * sigmoid(expand(ReLU(reduce(mean of in over positions))))).
  backend.squeeze_excite(context, map, linear, linear, map);  // (context, in, reduce, expand, out)
};

template <class B>
concept DecodesTokens = requires(B& backend, typename B::Context& context,
                                 View<typename B::Element> rows, View<float> logits,
                                 const typename B::Linear& linear, const typename B::Norm& norm,
                                 typename B::Cache& cache, const DecoderBatch& batch,
                                 const AttentionShape& shape, std::span<const std::int32_t> ids,
                                 std::int64_t layer) {
  // Row ids[i] of the embedding -> row i of out [ids, hidden].
  backend.embed(context, ids, linear, rows);
  // out = epilogue(in W^T + b): in [rows, in], out [rows, out].
  backend.linear(context, rows, linear, Epilogue{}, rows);
  // q, k, v = qkv(rms_norm(x)), the rows of qkv being those of the q heads, the k heads and the v
  // heads, and rms_norm(x) = x / sqrt(mean(x^2) + eps) * weight; rotates q and k by their positions
  // (shapes.hpp); writes k and v of `layer` to the cache at the batch's positions; x [rows, hidden]
  // -> q [rows, heads * head_dim].
  backend.attention_input(context, rows, norm, linear, shape, batch, layer, cache, rows);
  // softmax(q k^T / sqrt(head_dim)) v over the positions of a row's sequence up to its own: query
  // head h uses kv head h / (heads / kv_heads); q, out [rows, heads * head_dim].
  backend.attention(context, rows, shape, batch, layer, cache, rows);
  // SiLU(gate(n)) * up(n) with n = rms_norm(x) and gate, up stacked in one matrix:
  // x [rows, hidden] -> out [rows, intermediate].
  backend.swiglu(context, rows, norm, linear, rows);
  // out = head(rms_norm(x)) as float32: x [rows, hidden] -> out [rows, vocab].
  backend.logits(context, rows, norm, linear, logits);
};

template <class B>
concept HasKvCache = requires(B& backend, typename B::Context& context, typename B::Cache& cache,
                              View<typename B::Element> rows, const DecoderBatch& batch) {
  // An uninitialised cache, with what attention of this shape needs besides (tables of rotations).
  { backend.make_cache(CacheShape{}, AttentionShape{}) } -> std::same_as<typename B::Cache>;
  // Copies a page of all layers: how a sequence is forked.
  backend.copy_page(context, cache, std::int32_t{}, std::int32_t{});  // (context, cache, from, to)
  // Runs work(): the operations of a decoder pass over `batch` and the cache on `rows`, as the
  // encoder's run_pass. A capture is replayed for other positions and pages, too.
  backend.run_pass(context, batch, cache, rows, [] {});
};

template <class B>
concept EncoderBackend = BackendMemory<B> && PacksWeights<B> && EncodesImages<B>;
template <class B>
concept DecoderBackend = BackendMemory<B> && PacksWeights<B> && DecodesTokens<B> && HasKvCache<B>;
template <class B>
concept Backend = EncoderBackend<B> && DecoderBackend<B>;

// The scratch memory of an operation follows from its shape alone. scratch() allocates it from the
// arena and returns it in whatever form the operation uses: the operation calls it in an
// Arena::Scope, and a plan (kernels/plan/plan.hpp) calls it over an arena that only measures, so
// that the memory of a whole pass is known and reserved before the first one. What upload()
// allocates lives until the caller's scope ends. HostMemory supplies a scratch() that allocates
// nothing. Depthwise and layer_norm have none; attention may keep its own in the Cache.
template <class B>
concept ReportsScratch = requires(const B& backend, Arena& arena) {
  backend.scratch(arena, UploadShape{});
  backend.scratch(arena, StemShape{});
  backend.scratch(arena, LinearShape{});
  backend.scratch(arena, ConvFfnShape{});
  backend.scratch(arena, ImageAttentionShape{});
  backend.scratch(arena, SqueezeExciteShape{});
  backend.scratch(arena, EmbedShape{});
  backend.scratch(arena, AttentionInputShape{});
  backend.scratch(arena, CachedAttentionShape{});
  backend.scratch(arena, SwigluShape{});
  backend.scratch(arena, LogitsShape{});
  backend.scratch(arena, SampleShape{});
};

// What the engine runs on. Its backends are those of this project: load_runner.cpp lists them.
template <class B>
concept EngineBackend = Backend<B> && ReportsScratch<B> &&
    requires(const B& constant, const typename B::Linear& linear) {
  // Packed matrices say their shape and format, from which scratch memory is planned.
  requires std::same_as<decltype(linear.shape), MatrixShape>;
  // How large passes that requests share may become.
  { constant.pass_budget() } -> std::same_as<PassBudget>;
  // The device, for users: "cpu (AVX2, 8 threads)".
  { constant.description() } -> std::same_as<std::string>;
  // Bytes of all parameters packed so far.
  { constant.weight_bytes() } -> std::same_as<std::int64_t>;
};

}  // namespace fvlm
