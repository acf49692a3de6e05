#include "runtime/engine/trace_run.hpp"

#include <algorithm>

#include "fvlm/error.hpp"
#include "kernels/support/make_error.hpp"
#include "runtime/engine/load_runner.hpp"
#include "runtime/engine/prompt.hpp"
#include "runtime/image/fit.hpp"

namespace fvlm {

std::vector<TracedTensor> trace_run(const TraceOptions& options, ImageReader& image) {
  if (options.prompt_ids.empty()) throw Error("the list of prompt ids is empty");
  if (std::count(options.prompt_ids.begin(), options.prompt_ids.end(), kImageToken) > 1) {
    throw make_error("a trace takes one image: at most one {} among the prompt ids", kImageToken);
  }
  const Checkpoint checkpoint = Checkpoint::open(options.model_path, options.model_base);
  const FastVlmConfig& config = checkpoint.config();
  const LoadProgress progress = [&options](std::int64_t done, std::int64_t total) {
    if (options.on_loading) {
      options.on_loading(static_cast<double>(done) / static_cast<double>(total));
    }
  };
  const auto runner =
      load_runner(checkpoint,
                  {.device = options.device,
                   .device_index = options.device_index,
                   .precision = options.precision,
                   .threads = options.threads,
                   .cache_tokens = trace_pages(config, options.max_new_tokens) * kPageTokens},
                  progress);
  const std::int64_t side = config.vision.image_size;
  const auto bytes = static_cast<std::size_t>(side * side * 3);
  const Pixels pixels = runner->pixel_memory(bytes);
  fit_image(image, config.preprocessing, side, {pixels.get(), bytes});
  return trace_model(*runner, pixels, options.prompt_ids, options.max_new_tokens);
}

}  // namespace fvlm
