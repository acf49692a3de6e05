#include "runtime/engine/runner.hpp"

#include <algorithm>

#include "runtime/checkpoint/weights.hpp"
#include "runtime/engine/context_plan.hpp"

namespace fvlm {

PassLimits pass_limits(const FastVlmConfig& config, std::size_t scratch_budget) {
  constexpr std::int64_t kMostImages = 8;
  constexpr std::int64_t kTextRows = 32;  // of a short prompt, beside those of the image
  Plan plan;
  FastVlm<Plan> model(config);
  ShapeLoader<Plan> shapes(plan);
  model.visit(shapes);
  PassLimits limits;
  for (limits.images = kMostImages;; limits.images /= 2) {
    limits.prefill_rows =
        std::max(max_prefill_rows(config), limits.images * (config.vision.tokens() + kTextRows));
    const ContextSizes sizes = plan_contexts(plan, model, config, limits, 0);
    if (limits.images == 1 || sizes.encoder.scratch_bytes <= scratch_budget) return limits;
  }
}

}  // namespace fvlm
