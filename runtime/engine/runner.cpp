#include "runtime/engine/runner.hpp"

#include <algorithm>

#include "runtime/checkpoint/weights.hpp"
#include "runtime/engine/context_plan.hpp"

namespace fvlm {

std::size_t scratch_bytes(const FastVlmConfig& config, const PassLimits& limits) {
  Plan plan;
  FastVlm<Plan> model(config);
  ShapeLoader<Plan> shapes(plan);
  model.visit(shapes);
  const ContextSizes sizes = plan_contexts(plan, model, config, limits, 0);
  const std::int64_t encoded = limits.images * config.vision.tokens() * config.text.hidden_size;
  return std::max(sizes.encoder.scratch_bytes + static_cast<std::size_t>(encoded) * sizeof(float),
                  sizes.decoder.scratch_bytes);
}

PassLimits pass_limits(const FastVlmConfig& config, std::size_t scratch_budget) {
  constexpr std::int64_t kMostImages = 8;
  constexpr std::int64_t kTextRows = 32;  // of a short prompt, beside those of the image
  PassLimits limits;
  for (limits.images = kMostImages;; limits.images /= 2) {
    limits.prefill_rows =
        std::max(max_prefill_rows(config), limits.images * (config.vision.tokens() + kTextRows));
    if (limits.images == 1 || scratch_bytes(config, limits) <= scratch_budget) return limits;
  }
}

}  // namespace fvlm
