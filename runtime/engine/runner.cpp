#include "runtime/engine/runner.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>

#include "runtime/checkpoint/weights.hpp"
#include "runtime/engine/context_plan.hpp"

namespace fvlm {

namespace {

// Of one token through the layers: two for each weight.
double decoder_flops(const Qwen2Config& text) {
  const std::int64_t attention = text.hidden_size * (2 * text.hidden_size + 2 * text.kv_size());
  const std::int64_t feed_forward = 3 * text.hidden_size * text.intermediate_size;
  return 2 * static_cast<double>(text.layers * (attention + feed_forward));
}

}  // namespace

PassLimits pass_limits(const FastVlmConfig& config, const PassBudget& budget) {
  Plan plan;
  FastVlm<Plan> model(config);
  ShapeLoader<Plan> shapes(plan);
  model.visit(shapes);
  PassLimits limits{.draft_rows = budget.draft_rows};
  for (limits.images = budget.images;; limits.images /= 2) {
    limits.prefill_rows =
        std::max(max_prefill_rows(config), limits.images * (config.vision.tokens() + kPromptRows));
    if (limits.images == 1) return limits;
    const double flops = static_cast<double>(limits.prefill_rows) * decoder_flops(config.text);
    if (flops > budget.prefill_flops) continue;
    const ContextSizes sizes = plan_contexts(plan, model, config, limits, 0);
    if (sizes.encoder.scratch_bytes <= budget.encoder_bytes) return limits;
  }
}

std::int64_t images_of_pass(std::int64_t waiting) {
  constexpr std::int64_t kAll = 8;
  if (waiting <= kAll) return waiting;
  return static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(waiting)));
}

}  // namespace fvlm
