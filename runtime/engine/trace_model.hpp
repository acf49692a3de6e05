// One greedy pass of a loaded model whose intermediate results are kept: see trace_run.hpp. Apart
// from that, so that a program without the engine's files can trace, too.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fvlm/core/error.hpp"
#include "runtime/engine/generation.hpp"
#include "runtime/engine/loaded_model.hpp"
#include "runtime/engine/page_pool.hpp"
#include "runtime/engine/prompt.hpp"
#include "runtime/engine/trace_run.hpp"

namespace fvlm {

// A copy of one image's feature map, channels outermost.
inline TracedTensor channels_first(std::string name, FeatureMap<const float> map) {
  TracedTensor tensor{std::move(name), {map.channels, map.height, map.width}, {}};
  tensor.values.resize(static_cast<std::size_t>(map.elements()));
  for (std::int64_t p = 0; p < map.positions(); ++p) {
    for (std::int64_t c = 0; c < map.channels; ++c) {
      tensor.values[static_cast<std::size_t>(c * map.positions() + p)] =
          map.data[p * map.channels + c];
    }
  }
  return tensor;
}

inline TracedTensor copy_of(std::string name, View<const float> view) {
  TracedTensor tensor{std::move(name), {view.rows, view.cols}, {}};
  for (std::int64_t r = 0; r < view.rows; ++r) {
    tensor.values.insert(tensor.values.end(), view.row(r), view.row(r) + view.cols);
  }
  return tensor;
}

// `loaded` has a config, a backend with scratch memory, and a model with weights; pixels [S, S, 3].
template <class Loaded>
std::vector<TracedTensor> trace_model(Loaded& loaded, const Pixels& pixels,
                                      std::span<const std::int32_t> prompt_ids,
                                      std::int64_t max_new_tokens) {
  auto& backend = loaded.backend;
  using E = typename std::remove_reference_t<decltype(backend)>::Element;
  Arena& arena = backend.arena();
  const auto& model = loaded.model;
  const auto& text = loaded.config.text;
  const std::int64_t side = loaded.config.vision.image_size;
  const auto vocabulary = static_cast<std::int32_t>(text.vocab_size);
  std::vector<TracedTensor> traced;

  std::vector<float> scaled(static_cast<std::size_t>(side * side * 3));
  std::transform(pixels.get(), pixels.get() + scaled.size(), scaled.begin(),
                 [](std::uint8_t p) { return static_cast<float>(p) / 255.0F; });
  traced.push_back(channels_first("pixels", {scaled.data(), 1, side, side, 3}));

  const std::int64_t rows = prompt_spans(prompt_ids, loaded.config.vision.tokens()).back().end();
  if (rows > max_prefill_rows(loaded.config)) {
    throw Error("the prompt has {} positions, a trace can have {}", rows,
                max_prefill_rows(loaded.config));
  }
  const std::int64_t pages = (rows + max_new_tokens) / kPageTokens + 1;
  PagePool pool(pages);
  Sequence sequence(pool);
  auto cache = backend.make_cache(model.decoder.cache_shape(pages));

  std::vector<std::int32_t> tokens;
  TracedTensor logits{"logits", {0, text.vocab_size}, {}};
  // Runs rows of embeddings; returns the most likely next token.
  const auto step = [&](View<E> x) {
    DecoderBatch batch;
    const std::int64_t position = sequence.length();
    sequence.extend(x.rows);
    batch.add(x.rows, position, sequence.pages());
    model.decoder.forward(backend, batch, cache, x);
    const auto on_device = arena.template matrix<float>(1, text.vocab_size);
    model.decoder.logits(backend, x.slice_rows(x.rows - 1, 1), on_device);
    const View<float> out = backend.download(on_device);
    logits.values.insert(logits.values.end(), out.data, out.data + out.cols);
    ++logits.shape[0];
    return static_cast<std::int32_t>(std::max_element(out.data, out.data + out.cols) - out.data);
  };

  std::int32_t next = 0;
  {
    const Arena::Scope scope(arena);
    const auto x = arena.template matrix<E>(rows, text.hidden_size);
    for (const PromptSpan& span : prompt_spans(prompt_ids, loaded.config.vision.tokens())) {
      const auto part = x.slice_rows(span.position, span.rows);
      if (span.image < 0) {
        const auto ids = prompt_ids.subspan(static_cast<std::size_t>(span.first_id),
                                            static_cast<std::size_t>(span.rows));
        for (const std::int32_t id : ids) {
          if (id < 0 || id >= vocabulary)
            throw Error("prompt id {} is outside the vocabulary of {}", id, vocabulary);
        }
        model.decoder.embed(backend, ids, part);
        continue;
      }
      const auto observe = [&](std::string_view name, FeatureMap<E> map) {
        const View<float> rows_of_map = backend.download(map.matrix());
        traced.push_back(channels_first(
            std::string(name), {rows_of_map.data, map.batch, map.height, map.width, map.channels}));
        if (name == "conv_exp") traced.push_back(copy_of("features", rows_of_map));
      };
      const Arena::Scope image_scope(arena);
      model.embed_images(backend, backend.upload(std::span(&pixels, 1), side), part, {}, observe);
      traced.push_back(copy_of("embeddings", backend.download(part)));
    }
    next = step(x);
  }
  const auto ends = [&](std::int32_t token) {
    return std::find(text.eos_tokens.begin(), text.eos_tokens.end(), token) !=
           text.eos_tokens.end();
  };
  while (!ends(next)) {
    tokens.push_back(next);
    if (std::ssize(tokens) == max_new_tokens) break;
    const Arena::Scope scope(arena);
    const auto x = arena.template matrix<E>(1, text.hidden_size);
    model.decoder.embed(backend, std::span(&next, 1), x);
    next = step(x);
  }
  traced.push_back(std::move(logits));
  traced.push_back({"tokens", {std::ssize(tokens)}, {tokens.begin(), tokens.end()}});
  return traced;
}

}  // namespace fvlm
