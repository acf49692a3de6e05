// The operations a backend supplies. They are fused as a fast backend wants them fused; what each
// computes is written here once and the Ref backend is its plainest possible implementation.
//
// The contract has parts, so that a backend may be less than a whole one:
//   BackendMemory      contexts, which are streams with scratch memory, and transfers
//   PacksWeights       from the host's form of a parameter to the backend's
//   EncodesImages      the operations of FastViTHD and the projector
//   DecodesTokens      the operations of Qwen2
//   KeepsKeys          the KV cache
//   EncoderBackend, DecoderBackend, Backend   what FastViTHD, Qwen2 and FastVlm are written over
//   TellsScratch       the scratch memory of each operation
//   EngineBackend      a Backend with what the engine asks besides: scratch, limits, description
//   ChoosesTokens      optional: the next token, where the logits are (token_choice.hpp)
// Types a backend defines
//   Context                        where work runs: see ExecutionContext
//   Element                        type of an activation in memory
//   Linear, Depthwise, Stem, Norm  its own form of the weights
//   Cache                          storage of the KV cache: layers x pages
// Shapes: View [rows, cols]; FeatureMap [batch, height, width, channels]. GELU is the erf form.
// `out` never overlaps an input, except where "in place" is said.
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

// What a context has room for.
struct ContextSize {
  std::size_t scratch_bytes = 0;  // of its arena
  std::int64_t images = 0;        // the most of a pass of the encoder
  std::int64_t rows = 0;          // the most of a pass of the decoder
  std::int64_t outputs = 0;       // the most rows of such a pass whose logits are wanted, and the
                                  // most segments
  std::int64_t vocabulary = 0;    // the most logits of a row
  std::int64_t cache_pages = 0;   // of the KV cache
};

// Where operations run: a stream, on which work is done in the order in which it is put there while
// the host may go on, and scratch memory for that work. Work on two contexts may overlap, unless
// one waits for the other; each belongs to one thread at a time.
template <class C>
concept ExecutionContext = std::movable<C> && requires(C& context) {
  // Scratch memory: what models allocate there lives as long as their Arena::Scope. What is given
  // back and allocated again is used in the stream's order.
  { context.arena() } -> std::same_as<Arena&>;
  // What is put here from now on begins after all that is on the other context by now.
  context.wait_for(context);
  // Whether all that was put here is done.
  { context.done() } -> std::same_as<bool>;
  // The host waits until it is.
  context.synchronize();
};

template <class B>
concept BackendMemory = ExecutionContext<typename B::Context> &&
    requires(B& backend, typename B::Context& context, std::span<const Pixels> pictures,
             FeatureMap<const std::uint8_t> pixels, View<typename B::Element> rows,
             View<float> logits, std::int64_t side) {
  { backend.make_context(ContextSize{}) } -> std::same_as<typename B::Context>;

  // Views are of the backend's own memory, but for what these two take and give; a backend may put
  // work aside and return. HostMemory (host_memory.hpp) is all of it for backends on the host.
  // Memory for the pixels of a picture, from which upload() takes them best. Safe from any thread.
  { backend.pixel_memory(std::size_t{}) } -> std::same_as<Pixels>;
  // Pictures from the host, each [side, side, 3], where they may be read until the pass is done; in
  // the arena they live as long as its scope. Whoever measures a pass gives empty ones.
  { backend.upload(context, pictures, side) } -> std::same_as<FeatureMap<const std::uint8_t>>;
  // Rows for the host, as float32, once what computes them is done; until the context's next call.
  { backend.download(context, rows) } -> std::same_as<View<float>>;
  { backend.download(context, logits) } -> std::same_as<View<float>>;
  // Rows from one place to another.
  backend.copy(context, rows, rows);  // (context, from, to)
  // Runs work(): the operations of the encoder's pass over pixels to `rows`. A backend may keep a
  // record and run that when such a pass comes again: for as many images in the same places only
  // the content of memory may be another. So work() must bring nothing from the host or there.
  backend.run_pass(context, pixels, rows, [] {});
};

// From the host's folded form to the backend's.
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
  // GELU(depthwise(GELU(conv3x3 stride 2(pixels)))): pixels [b, S, S, 3] -> out [b, S/4, S/4, c].
  backend.stem(context, pixels, stem, depthwise, map);
  // k x k filters, zero padding k/2, then the activation; out has in / stride positions a side.
  backend.depthwise(context, map, depthwise, Activation::kGelu, map);
  // out = epilogue(in W^T + b): in [rows, in], out [rows, out].
  backend.linear(context, rows, linear, Epilogue{}, rows);
  // out = in + fc2(GELU(fc1(depthwise(in)))): in, out [b, h, w, c].
  backend.conv_ffn(context, map, depthwise, linear, linear, map);
  // (x - mean) / sqrt(variance + eps) * weight + bias over each row.
  backend.layer_norm(context, rows, norm, rows);
  // softmax(q k^T / sqrt(head_dim)) v for each image and head. qkv [b * t, 3 c] holds q, k and v
  // one after the other, heads side by side within each; n images; out [b * t, c].
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
  // Rows of the embedding: out [ids, hidden].
  backend.embed(context, ids, linear, rows);
  // out = epilogue(in W^T + b): in [rows, in], out [rows, out].
  backend.linear(context, rows, linear, Epilogue{}, rows);
  // n = rms_norm(x); q, k, v = qkv(n); rotate q and k; write k and v to the cache; q [rows, heads *
  // head_dim].
  backend.attention_input(context, rows, norm, linear, shape, batch, layer, cache, rows);
  // Causal attention of q over the cache: query head h uses kv head h / (heads / kv_heads).
  backend.attention(context, rows, shape, batch, layer, cache, rows);
  // SiLU(gate(n)) * up(n) with n = rms_norm(x) and gate, up stacked in one matrix:
  // x [rows, hidden] -> out [rows, intermediate].
  backend.swiglu(context, rows, norm, linear, rows);
  // out = head(rms_norm(x)) as float32: x [rows, hidden] -> out [rows, vocab].
  backend.logits(context, rows, norm, linear, logits);
};

template <class B>
concept KeepsKeys = requires(B& backend, typename B::Context& context, typename B::Cache& cache,
                             View<typename B::Element> rows, const DecoderBatch& batch) {
  // With what attention of this shape over it needs besides, such as tables of rotations.
  { backend.make_cache(CacheShape{}, AttentionShape{}) } -> std::same_as<typename B::Cache>;
  // Copies a page (all layers): the start of a sequence that goes on in two ways.
  backend.copy_page(context, cache, std::int32_t{}, std::int32_t{});  // (context, cache, from, to)
  // Runs work(), the operations of a decoder's pass over `batch` and the cache on `rows`, as
  // run_pass does for the encoder: the batch's positions and pages may be others, too.
  backend.run_pass(context, batch, cache, rows, [] {});
};

template <class B>
concept EncoderBackend = BackendMemory<B> && PacksWeights<B> && EncodesImages<B>;
template <class B>
concept DecoderBackend = BackendMemory<B> && PacksWeights<B> && DecodesTokens<B> && KeepsKeys<B>;
template <class B>
concept Backend = EncoderBackend<B> && DecoderBackend<B>;

// What an operation needs beside its inputs and outputs follows from its shape alone. scratch()
// takes it from the arena and returns it, in any form: the operation calls it when it runs, within
// an Arena::Scope, and a plan (kernels/plan) over an arena that measures, so that it is reserved
// once. What upload() takes lives on. HostMemory has one that takes nothing.
template <class B>
concept TellsScratch = requires(const B& backend, Arena& arena) {
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
  backend.scratch(arena, ChoiceShape{});
};

template <class B>
concept EngineBackend = Backend<B> && TellsScratch<B> &&
    requires(const B& constant, const typename B::Linear& linear) {
  // How the matrix is kept.
  requires std::same_as<decltype(linear.shape), MatrixShape>;
  // Rows of a decode pass up to which each comes out the same, to the bit, however many there are.
  requires std::same_as<decltype(B::kExactRows), const std::int64_t>;
  // Bytes of scratch memory that it may cost to encode several images in one pass.
  requires std::same_as<decltype(B::kScratchBudget), const std::size_t>;
  // The device and how it computes, in a few words: "cpu (AVX2, 8 threads)".
  { constant.description() } -> std::same_as<std::string>;
  // Bytes of all matrices packed so far.
  { constant.weight_bytes() } -> std::same_as<std::int64_t>;
};

}  // namespace fvlm
