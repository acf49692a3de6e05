#include "runtime/engine/trace_run.hpp"

#include <algorithm>
#include <utility>

#include "fvlm/core/error.hpp"
#include "runtime/engine/loaded_model.hpp"
#include "runtime/engine/prompt.hpp"
#include "runtime/engine/trace_model.hpp"
#include "runtime/engine/with_backend.hpp"
#include "runtime/image/fit.hpp"

namespace fvlm {
namespace {

template <class B>
std::vector<TracedTensor> run(const TraceOptions& options, const Checkpoint& checkpoint,
                              ImageReader& image, B backend) {
  LoadedModel<B> loaded(checkpoint, std::move(backend), {}, {});
  const std::int64_t side = loaded.config.vision.image_size;
  const Pixels pixels = loaded.backend.pixel_memory(static_cast<std::size_t>(side * side * 3));
  fit_image(image, loaded.config.picture, side,
            {pixels.get(), static_cast<std::size_t>(side * side * 3)});
  return trace_model(loaded, pixels, options.prompt_ids, options.max_new_tokens);
}

}  // namespace

std::vector<TracedTensor> trace_run(const TraceOptions& options, ImageReader& image) {
  if (options.prompt_ids.empty()) throw Error("the list of prompt ids is empty");
  if (std::count(options.prompt_ids.begin(), options.prompt_ids.end(), kImageToken) > 1) {
    throw Error("a trace takes one image: at most one {} among the prompt ids", kImageToken);
  }
  const Checkpoint checkpoint = Checkpoint::open(options.model_path, options.model_base);
  const BackendChoice choice{
      .device = options.device,
      .precision = options.precision,
      .threads = options.threads,
      .cache_tokens = max_prefill_rows(checkpoint.config()) + options.max_new_tokens};
  return with_backend(checkpoint, choice, [&](auto backend) {
    return run(options, checkpoint, image, std::move(backend));
  });
}

}  // namespace fvlm
