#include "runtime/engine/trace_model.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include "kernels/support/make_error.hpp"
#include "runtime/engine/page_pool.hpp"
#include "runtime/engine/prompt_layout.hpp"

namespace fvlm {
namespace {

// A copy of one image's feature map, channels outermost.
TracedTensor channels_first(std::string name, FeatureMap<const float> map) {
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

TracedTensor copy_of(std::string name, FeatureMap<const float> map) {
  return {std::move(name),
          {map.positions(), map.channels},
          std::vector<float>(map.data, map.data + map.elements())};
}

TracedTensor scaled(const Pixels& pixels, std::int64_t side) {
  std::vector<float> values(static_cast<std::size_t>(side * side * 3));
  std::transform(pixels.get(), pixels.get() + values.size(), values.begin(),
                 [](std::uint8_t pixel) { return static_cast<float>(pixel) / 255.0F; });
  return channels_first("pixels", {values.data(), 1, side, side, 3});
}

// The rows of a prompt; its image is the first that was encoded.
PrefillPass pass_over(std::span<const std::int32_t> ids, std::span<const PromptSpan> spans) {
  PrefillPass pass;
  for (const PromptSpan& span : spans) {
    if (span.image >= 0) {
      pass.input.push_back({.image = 0});
      continue;
    }
    pass.input.push_back({.ids = ids.subspan(static_cast<std::size_t>(span.first_id),
                                             static_cast<std::size_t>(span.rows))});
  }
  return pass;
}

void check_ids(const PrefillPass& pass, std::int64_t vocabulary) {
  for (const PromptRows& rows : pass.input) {
    for (const std::int32_t id : rows.ids) {
      if (id < 0 || id >= vocabulary)
        throw make_error("prompt id {} is outside the vocabulary of {}", id, vocabulary);
    }
  }
}

}  // namespace

std::int64_t trace_pages(const FastVlmConfig& config, std::int64_t max_new_tokens) {
  return (max_prefill_rows(config) + max_new_tokens) / kPageTokens + 1;
}

std::vector<TracedTensor> trace_model(ModelRunner& runner, const Pixels& pixels,
                                      std::span<const std::int32_t> prompt_ids,
                                      std::int64_t max_new_tokens) {
  const FastVlmConfig& config = runner.config();
  const Qwen2Config& text = config.text;
  const auto spans = prompt_spans(prompt_ids, config.vision.tokens());
  const std::int64_t rows = spans.back().end();
  if (rows > max_prefill_rows(config)) {
    throw make_error("the prompt has {} positions, a trace can have {}", rows,
                     max_prefill_rows(config));
  }
  PrefillPass prompt = pass_over(prompt_ids, spans);
  check_ids(prompt, text.vocab_size);

  std::vector<TracedTensor> traced = {scaled(pixels, config.vision.image_size)};
  if (std::any_of(spans.begin(), spans.end(), [](const PromptSpan& s) { return s.image >= 0; })) {
    runner.encode_observed(pixels, [&](std::string_view name, FeatureMap<const float> map) {
      if (name == "embeddings") {
        traced.push_back(copy_of("embeddings", map));
        return;
      }
      traced.push_back(channels_first(std::string(name), map));
      if (name == "conv_exp") traced.push_back(copy_of("features", map));
    });
  }

  TracedTensor logits{"logits", {0, text.vocab_size}, {}};
  // The most likely token after the row that a pass gave out.
  const auto most_likely = [&](const PassOutput& output) {
    const float* row = output.logits.data;
    logits.values.insert(logits.values.end(), row, row + text.vocab_size);
    ++logits.shape[0];
    return static_cast<std::int32_t>(std::max_element(row, row + text.vocab_size) - row);
  };
  const auto ends = [&](std::int32_t token) {
    return std::find(text.eos_tokens.begin(), text.eos_tokens.end(), token) !=
           text.eos_tokens.end();
  };
  const NextTokens all{.vocabulary = text.vocab_size};
  PagePool pool(runner.facts().cache_pages);
  Sequence sequence(pool);
  const auto next_rows = [&](std::int64_t count) {
    DecoderBatch batch;
    const std::int64_t position = sequence.length();
    sequence.extend(count);
    batch.add(count, position, sequence.pages());
    return batch;
  };
  prompt.batch = next_rows(rows);
  prompt.last_rows = {rows - 1};
  std::int32_t next = most_likely(runner.prefill(prompt, all, {}));
  std::vector<std::int32_t> tokens;
  while (!ends(next)) {
    tokens.push_back(next);
    if (std::ssize(tokens) == max_new_tokens) break;
    next = most_likely(runner.decode(std::span(&next, 1), next_rows(1), all));
  }
  traced.push_back(std::move(logits));
  traced.push_back({"tokens", {std::ssize(tokens)}, {tokens.begin(), tokens.end()}});
  return traced;
}

}  // namespace fvlm
