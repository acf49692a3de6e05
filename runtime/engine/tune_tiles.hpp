// Tiles of the GEMMs of encoder and prefill passes, chosen by measuring on the device: what is
// remembered from an earlier start is taken from the cache folder, the rest is measured as long as
// a start may take.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/host/cuda.hpp"
#include "kernels/cuda/host/tile_timer.hpp"
#include "runtime/checkpoint/weights.hpp"
#include "runtime/engine/backend_runner.hpp"
#include "runtime/engine/gemm_key.hpp"
#include "runtime/engine/model_gemms.hpp"
#include "runtime/engine/tuning.hpp"

namespace fvlm {

// The GEMMs of encoder and prefill passes that have tiles to choose from, those of the commonest
// sizes first: one image, then its prompt, then more of both, and a question about what is cached.
template <class B>
std::vector<GemmKey> tunable_gemms(const B& backend, const Checkpoint& checkpoint,
                                   const PassLimits& limits) {
  using Stage = ModelGemm::Stage;
  constexpr std::int64_t kQuestionRows = 64;
  const FastVlmConfig& config = checkpoint.config();
  std::vector<GemmKey> keys;
  const auto add = [&](Stage stage, const GemmPasses& passes) {
    const auto products = model_gemms(config, backend.formats(), passes,
                                      [&](GemmCounter& plan, FastVlm<GemmCounter>& model) {
                                        ShapeLoader<GemmCounter> shapes(plan, &checkpoint);
                                        model.visit(shapes);
                                      });
    for (const ModelGemm& product : products) {
      if (product.stage != stage) continue;
      const auto& [kind, rows, weights, epilogue] = product.gemm;
      if (const auto key = key_of(product.gemm)) {
        keys.push_back(*key);
      } else if (kind == PlannedGemm::Kind::kFeedForward &&
                 !backend.fuses_feed_forward(weights.in)) {
        keys.push_back({rows, weights.out, weights.in, true, false});
        keys.push_back({rows, weights.in, weights.out, false, true});
      }
    }
  };
  const auto add_prefill = [&](std::int64_t rows) {
    if (rows > limits.prefill_rows) return;
    add(Stage::kPrefill, {.images = {}, .prefill_rows = rows, .decode_rows = {}});
  };
  for (const std::int64_t images : {1, 8, 2, 4, 16, 32}) {
    if (images > limits.images) continue;
    add(Stage::kEncoder, {.images = {images}, .prefill_rows = 1, .decode_rows = {}});
    add_prefill(images * (config.vision.tokens() + kPromptRows));
    if (images == 1) add_prefill(kQuestionRows);
  }
  return keys;
}

// For a model that is loaded and has not run. `warn` hears if the table cannot be written. In the
// emulator, whose times mean nothing, a file is read, and nothing is measured or written.
template <Target target>
void tune_tiles(BackendRunner<CudaBackend<target, BFloat16>>& runner, const Checkpoint& checkpoint,
                const WarningSink& warn) {
  constexpr double kBudget = 0.8;  // seconds
  auto& backend = runner.backend();
  TuningIdentity identity = backend.tuning_identity();
  identity.program = tuning_version();
  const auto file = tuning_file(identity);
  TileTable table = load_tuning(file, identity).value_or(TileTable());
  if constexpr (target == Target::kDevice) {
    const auto gemms = tunable_gemms(backend, checkpoint, runner.limits());
    const auto start = std::chrono::steady_clock::now();
    const auto elapsed = [start] {
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    auto& context = runner.passes().encoder();
    const TileTimer<target> timer(context.stream(), context.arena(),
                                  static_cast<std::int64_t>(context.scratch_bytes()),
                                  backend.device_shape(), runner.config().text.head_dim());
    const std::size_t known = table.size();
    tune(
        gemms, identity.major, kBudget, elapsed,
        [&](const GemmKey& key, int tile) { return timer.seconds(key, tile); }, table);
    if (table.size() > known && !save_tuning(file, identity, table) && warn) {
      warn("the fastest tiles of GEMMs cannot be remembered" +
           (file.empty() ? ": there is no cache folder" : " in " + file.string()) +
           "; they are measured again at each start, unless --no-tuning is given");
    }
  }
  backend.take_tiles(std::move(table));
}

}  // namespace fvlm
