#include "runtime/engine/model_passes.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace fvlm {
namespace {

double since(Generation::Clock::time_point start) {
  return std::chrono::duration<double>(Generation::Clock::now() - start).count();
}

void add_input(const PrefillBatch::Part& part, std::vector<PromptRows>& input) {
  const std::span<const std::int32_t> ids = part.chunk.generation->prompt().ids;
  auto image = part.images.begin();
  for (const PromptSpan& span : part.chunk.spans) {
    if (span.image >= 0) {
      input.push_back(*image++);
    } else {
      input.push_back({.ids = ids.subspan(static_cast<std::size_t>(span.first_id),
                                          static_cast<std::size_t>(span.rows))});
    }
  }
}

bool can_sample(const ModelRunner& runner, const Sampling& how) {
  return how.num_beams <= 1 && !how.logprobs &&
         runner.can_sample({.temperature = how.temperature,
                            .top_k = how.top_k,
                            .top_p = how.top_p,
                            .min_p = how.min_p});
}

}  // namespace

void ModelPasses::encode(const PrefillBatch& batch, const std::stop_token& stop) {
  if (batch.images().empty()) return;
  runner_.encode(batch.images(), stop);
  counters_.encoder_batches.add(static_cast<double>(batch.images().size()));
}

// Runs the pass, and keeps the images that were encoded for it. If it does not end well, they may
// not be where they should.
PassOutput ModelPasses::run_and_keep(const PrefillBatch& batch, PrefillPass& pass,
                                     const NextTokens& next, const std::stop_token& stop) {
  for (std::size_t i = 0; i < batch.hashes().size(); ++i) {
    const std::int64_t place = images_.add(batch.hashes()[i]);
    if (place >= 0) pass.keep.push_back({.image = static_cast<std::int64_t>(i), .place = place});
  }
  try {
    return runner_.prefill(pass, next, stop);
  } catch (...) {
    if (!pass.keep.empty()) images_.clear();
    throw;
  }
}

void ModelPasses::prefill(const PrefillBatch& batch, const std::stop_token& stop) {
  PrefillPass pass;
  std::vector<Generation*> done;  // with their prompts
  for (const PrefillBatch::Part& part : batch.parts()) {
    const PrefillChunk& chunk = part.chunk;
    Generation& g = *chunk.generation;
    add_input(part, pass.input);
    Sequence& sequence = g.answer().hypotheses().front().sequence;
    cache_.extend(sequence, chunk.rows());
    pass.batch.add(chunk.rows(), g.prefilled(), sequence.pages());
    if (g.prefilled() + chunk.rows() < g.prompt().positions()) continue;
    done.push_back(&g);
    pass.last_rows.push_back(pass.batch.rows() - 1);
  }
  const auto sampling = sampling_of(done);
  const PassOutput output = run_and_keep(batch, pass, next(sampling), stop);
  counters_.prefill_batches.add(static_cast<double>(batch.parts().size()));
  const double encode_s = batch.seconds(output.embedded);
  const double layers_s = since(output.embedded);
  for (const auto& [chunk, images, encoded] : batch.parts()) {
    Generation& g = *chunk.generation;
    g.count_encoded(encoded);
    counters_.reused_images += std::ssize(images) - encoded;
    g.spend(&Statistics::encode_s, encode_s);
    g.spend(&Statistics::prefill_s, layers_s);
    g.prefill(chunk.rows());
  }
  const auto start = Generation::Clock::now();
  advance(done, output);
  for (Generation* g : done) g->spend(&Statistics::prefill_s, since(start));
}

void ModelPasses::decode(const std::vector<Generation*>& group) {
  std::vector<std::int32_t> ids;
  DecoderBatch batch;
  for (Generation* g : group) {
    const auto& proposed = g->answer().proposed();
    for (Hypothesis& h : g->answer().hypotheses()) {
      const std::int64_t position = h.sequence.length();
      const std::int64_t rows = 1 + std::ssize(proposed);
      cache_.extend(h.sequence, rows);
      ids.push_back(h.tokens.back());
      ids.insert(ids.end(), proposed.begin(), proposed.end());
      batch.add(rows, position, h.sequence.pages());
    }
  }
  const auto sampling = sampling_of(group);
  const PassOutput output = runner_.decode(ids, batch, next(sampling));
  counters_.decode_batches.add(static_cast<double>(batch.rows()));
  advance(group, output);
}

// How the runner samples the tokens of a group; empty if it cannot for all of them.
std::vector<SamplingParams> ModelPasses::sampling_of(const std::vector<Generation*>& group) const {
  std::vector<SamplingParams> sampling;
  if (!std::all_of(group.begin(), group.end(), [this](const Generation* g) {
        return can_sample(runner_, g->request().sampling);
      })) {
    return sampling;
  }
  for (Generation* g : group) {
    const auto more = g->answer().sampling_params();
    sampling.insert(sampling.end(), more.begin(), more.end());
  }
  return sampling;
}

// Gives a group what came out of its pass.
void ModelPasses::advance(const std::vector<Generation*>& group, const PassOutput& output) {
  std::int64_t row = 0;
  for (Generation* g : group) {
    const std::int64_t count = g->answer().decode_rows();
    guarded(*g, [&] {
      if (!output.tokens.empty()) {
        return g->advance(
            output.tokens.subspan(static_cast<std::size_t>(row), static_cast<std::size_t>(count)),
            eos_);
      }
      g->advance(
          output.logits.slice_rows(row, count), eos_,
          [this](const Sequence& parent, auto tokens) { return cache_.fork(parent, tokens); });
    });
    row += count;
  }
}

}  // namespace fvlm
