// The operations a backend supplies. They are fused as a fast backend wants them fused; what each
// computes is written here once and the Ref backend is its plainest possible implementation.
//
// The contract has parts, so that a backend may be less than a whole one:
//   BackendMemory      memory, transfers and the order of work
//   PacksWeights       from the host's form of a parameter to the backend's
//   EncodesImages      the operations of FastViTHD and the projector
//   DecodesTokens      the operations of Qwen2
//   KeepsKeys          the KV cache
//   EncoderBackend, DecoderBackend, Backend   what FastViTHD, Qwen2 and FastVlm are written over
//   EngineBackend      a Backend with what the engine asks besides: limits, scratch, description
//   ChoosesTokens      optional: the next token, where the logits are (token_choice.hpp)
// Types a backend defines
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
#include "fvlm/ops/spec.hpp"

namespace fvlm {

// Rotary position encoding: the halves (x1, x2) of a head become (x1 c - x2 s, x2 c + x1 s) with
// the angle position * theta^(-i / (head_dim / 2)).
struct AttentionShape {
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  double rope_theta = 1e6;
};

// The size of a KV cache.
struct CacheShape {
  std::int64_t layers = 0;
  std::int64_t pages = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;

  // Elements of the keys (or of the values) of one page in one layer.
  std::int64_t page_elements() const { return kv_heads * head_dim * kPageTokens; }
  // Elements of the whole cache, keys and values.
  std::int64_t elements() const { return 2 * layers * pages * page_elements(); }
};

template <class B>
concept BackendMemory = requires(B& backend, std::span<const Pixels> pictures,
                                 FeatureMap<const std::uint8_t> pixels,
                                 View<typename B::Element> rows, View<float> logits,
                                 const DecoderBatch& batch, std::int64_t side) {
  // Scratch memory: what models allocate there lives as long as their Arena::Scope.
  { backend.arena() } -> std::same_as<Arena&>;

  // Views are of the backend's own memory, but for what these two take and give; a backend may put
  // work aside and return. HostMemory (host_memory.hpp) is all of it for backends on the host.
  // Memory for the pixels of a picture, from which upload() takes them best. Safe from any thread.
  { backend.pixel_memory(std::size_t{}) } -> std::same_as<Pixels>;
  // Pictures from the host, each [side, side, 3]; they live as long as the arena's scope. Whoever
  // measures a pass gives empty ones.
  { backend.upload(pictures, side) } -> std::same_as<FeatureMap<const std::uint8_t>>;
  // Rows for the host, as float32, once what computes them is done; until the next call.
  { backend.download(rows) } -> std::same_as<View<float>>;
  { backend.download(logits) } -> std::same_as<View<float>>;
  // Rows from one place to another.
  backend.copy(rows, rows);  // (from, to)
  // Waits for all that was put aside.
  backend.synchronize();
  // Runs work(), an upload and a pass of the encoder, perhaps beside what is put aside afterwards
  // and over an arena of its own. What follows join() finds it done; beside_done(): join() waits no
  // more.
  backend.beside([] {});
  { backend.beside_done() } -> std::same_as<bool>;
  backend.join();
  // Run work(): the operations of a decoder's pass over `batch`, or of the encoder's over pixels,
  // on or to `rows`. A backend may keep a record and run that when such a pass comes again: for as
  // many rows and images in the same places only the content of memory may be another, and the
  // batch's positions and pages, over the one cache. So work() must bring nothing from the host or
  // there.
  backend.run_pass(batch, rows, [] {});
  backend.run_pass(pixels, rows, [] {});
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
concept EncodesImages = requires(B& backend, FeatureMap<const std::uint8_t> pixels,
                                 FeatureMap<typename B::Element> map,
                                 View<typename B::Element> rows, const typename B::Linear& linear,
                                 const typename B::Depthwise& depthwise,
                                 const typename B::Stem& stem, const typename B::Norm& norm,
                                 std::int64_t n) {
  // GELU(depthwise(GELU(conv3x3 stride 2(pixels)))): pixels [b, S, S, 3] -> out [b, S/4, S/4, c].
  backend.stem(pixels, stem, depthwise, map);
  // k x k filters, zero padding k/2, then the activation; out has in / stride positions a side.
  backend.depthwise(map, depthwise, Activation::kGelu, map);
  // out = epilogue(in W^T + b): in [rows, in], out [rows, out].
  backend.linear(rows, linear, Epilogue{}, rows);
  // out = in + fc2(GELU(fc1(depthwise(in)))): in, out [b, h, w, c].
  backend.conv_ffn(map, depthwise, linear, linear, map);
  // (x - mean) / sqrt(variance + eps) * weight + bias over each row.
  backend.layer_norm(rows, norm, rows);
  // softmax(q k^T / sqrt(head_dim)) v for each image and head. qkv [b * t, 3 c] holds q, k and v
  // one after the other, heads side by side within each; n images; out [b * t, c].
  backend.image_attention(rows, n, n, rows);  // (qkv, images, head_dim, out)
  // GELU(in * sigmoid(expand(ReLU(reduce(mean of in over positions))))).
  backend.squeeze_excite(map, linear, linear, map);  // (in, reduce, expand, out)
};

template <class B>
concept DecodesTokens = requires(B& backend, View<typename B::Element> rows, View<float> logits,
                                 const typename B::Linear& linear, const typename B::Norm& norm,
                                 typename B::Cache& cache, const DecoderBatch& batch,
                                 const AttentionShape& shape, std::span<const std::int32_t> ids,
                                 std::int64_t layer) {
  // Rows of the embedding: out [ids, hidden].
  backend.embed(ids, linear, rows);
  // out = epilogue(in W^T + b): in [rows, in], out [rows, out].
  backend.linear(rows, linear, Epilogue{}, rows);
  // n = rms_norm(x); q, k, v = qkv(n); rotate q and k; write k and v to the cache; q [rows, heads *
  // head_dim].
  backend.attention_input(rows, norm, linear, shape, batch, layer, cache, rows);
  // Causal attention of q over the cache: query head h uses kv head h / (heads / kv_heads).
  backend.attention(rows, shape, batch, layer, cache, rows);
  // SiLU(gate(n)) * up(n) with n = rms_norm(x) and gate, up stacked in one matrix:
  // x [rows, hidden] -> out [rows, intermediate].
  backend.swiglu(rows, norm, linear, rows);
  // out = head(rms_norm(x)) as float32: x [rows, hidden] -> out [rows, vocab].
  backend.logits(rows, norm, linear, logits);
};

template <class B>
concept KeepsKeys = requires(B& backend, typename B::Cache& cache) {
  { backend.make_cache(CacheShape{}) } -> std::same_as<typename B::Cache>;
  // Copies a page (all layers): the start of a sequence that goes on in two ways.
  backend.copy_page(cache, std::int32_t{}, std::int32_t{});  // (cache, from, to)
};

template <class B>
concept EncoderBackend = BackendMemory<B> && PacksWeights<B> && EncodesImages<B>;
template <class B>
concept DecoderBackend = BackendMemory<B> && PacksWeights<B> && DecodesTokens<B> && KeepsKeys<B>;
template <class B>
concept Backend = EncoderBackend<B> && DecoderBackend<B>;

template <class B>
concept EngineBackend = Backend<B> && requires(B& backend, const B& constant) {
  // Rows of a decode pass up to which each comes out the same, to the bit, however many there are.
  requires std::same_as<decltype(B::kExactRows), const std::int64_t>;
  // Bytes of scratch memory that it may cost to encode several images in one pass.
  requires std::same_as<decltype(B::kScratchBudget), const std::size_t>;
  // Gives the arena its memory; passes ask for no more than this many bytes afterwards.
  backend.reserve(std::size_t{});
  // The device and how it computes, in a few words: "cpu (AVX2, 8 threads)".
  { constant.description() } -> std::same_as<std::string>;
  // Bytes of all matrices packed so far.
  { constant.weight_bytes() } -> std::same_as<std::int64_t>;
};

// Backends with scratch memory of their own, which measure it as backends without data do: over an
// arena that measures they compute nothing, and the model's passes say what to reserve.
template <class B>
concept PlansItself = EngineBackend<B> && B::kPlansItself;

}  // namespace fvlm
