#include "runtime/engine/runner.hpp"

#include <algorithm>

#include "runtime/checkpoint/weights.hpp"
#include "runtime/engine/backend_runner.hpp"

namespace fvlm {

std::size_t scratch_bytes(const FastVlmConfig& config, const PassLimits& limits) {
  const BackendRunner<Plan> runner(config, Plan(), limits, 0, [](Plan& plan, FastVlm<Plan>& model) {
    ShapeLoader<Plan> shapes(plan);
    model.visit(shapes);
  });
  return static_cast<std::size_t>(runner.facts().scratch_bytes);
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
