// How large a runner's contexts have to be: the largest passes are run by the backend without data
// that asks for another's scratch memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "fvlm/models/fastvlm.hpp"
#include "kernels/plan/plan.hpp"
#include "runtime/engine/backend_passes.hpp"
#include "runtime/engine/runner.hpp"

namespace fvlm {

// What contexts need for any passes within the limits: `plan` and `model` are without data.
template <Backend P>
ContextSizes plan_contexts(P& plan, const FastVlm<P>& model, const FastVlmConfig& config,
                           const PassLimits& limits, std::int64_t cache_pages) {
  BackendPasses<P> passes(plan, model, config, limits, {}, cache_pages);
  const std::vector<Pixels> pictures(static_cast<std::size_t>(limits.images));
  passes.encode(pictures, {});
  const std::int64_t rows = limits.prefill_rows;
  const std::vector<std::int32_t> ids(static_cast<std::size_t>(std::max(rows, limits.decode_rows)));
  PrefillPass prompts;
  prompts.input.push_back({.ids = std::span(ids).first(static_cast<std::size_t>(rows))});
  prompts.batch.add(rows, 0, {});
  // Each request of a pass over prompts has a row of its own at least.
  prompts.last_rows.resize(static_cast<std::size_t>(std::min(rows, limits.decode_rows)));
  DecoderBatch answers;
  answers.add(limits.decode_rows, 0, {});
  const std::vector<SamplingParams> sampling(static_cast<std::size_t>(limits.decode_rows));
  for (const bool on_device : {false, true}) {
    NextTokens next{.vocabulary = config.text.vocab_size};
    if (on_device) next.sampling = std::span(sampling).first(prompts.last_rows.size());
    passes.prefill(prompts, next, {});
    if (on_device) next.sampling = sampling;
    passes.decode(std::span(ids).first(sampling.size()), answers, next);
  }
  return {
      .encoder = {.scratch_bytes = passes.encoder().arena().high_water(), .images = limits.images},
      .decoder = {.scratch_bytes = passes.decoder().arena().high_water(),
                  .rows = std::max(rows, limits.decode_rows),
                  .outputs = limits.decode_rows,
                  .vocabulary = config.text.vocab_size,
                  .cache_pages = cache_pages}};
}

// The matrices of a model as they are kept, in the order in which it names them.
template <class B>
class MatrixShapes : public Visitor<MatrixShapes<B>> {
 public:
  template <class P>
  void leaf(const std::string&, const P& parameter) {
    if constexpr (std::is_same_v<P, Linear<B>>) shapes.push_back(parameter.weights.shape);
  }

  std::vector<MatrixShape> shapes;
};

// Gives them to the same model without data.
template <class P>
class TakeShapes : public Visitor<TakeShapes<P>> {
 public:
  TakeShapes(P& plan, std::span<const MatrixShape> shapes) : plan_(plan), shapes_(shapes) {}

  template <class Parameter>
  void leaf(const std::string&, Parameter& parameter) {
    parameter.weights = plan_.pack(parameter.spec);
    if constexpr (std::is_same_v<Parameter, Linear<P>>) {
      parameter.weights.shape = shapes_.front();
      shapes_ = shapes_.subspan(1);
    }
  }

 private:
  P& plan_;
  std::span<const MatrixShape> shapes_;
};

// The same for a backend and a model that it has the weights of.
template <EngineBackend B>
ContextSizes plan_contexts_of(const B& backend, FastVlm<B>& model, const FastVlmConfig& config,
                              const PassLimits& limits, std::int64_t cache_pages) {
  MatrixShapes<B> loaded;
  model.visit(loaded);
  PlanOf<B> plan({}, {.backend = &backend});
  FastVlm<PlanOf<B>> shapes(config);
  TakeShapes<PlanOf<B>> take(plan, loaded.shapes);
  shapes.visit(take);
  return plan_contexts(plan, shapes, config, limits, cache_pages);
}

}  // namespace fvlm
