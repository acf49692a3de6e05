// Puts an engine together: checkpoint, tokenizer, backend.
#include "fvlm/engine.hpp"

#include <future>
#include <utility>

#include "kernels/support/make_error.hpp"
#include "runtime/engine/engine_core.hpp"
#include "runtime/engine/load_runner.hpp"

namespace fvlm {
namespace {

std::unique_ptr<Engine> make_engine(const EngineOptions& options, const Checkpoint& checkpoint) {
  const auto start = std::chrono::steady_clock::now();
  const LoadProgress progress = [&](std::int64_t done, std::int64_t total) {
    if (options.on_progress)
      options.on_progress(static_cast<double>(done) / static_cast<double>(total));
  };
  auto tokenizer = std::async(std::launch::async,
                              [&] { return Tokenizer::load(checkpoint.tokenizer_folder()); });
  const FastVlmConfig& config = checkpoint.config();
  const BackendChoice choice = backend_choice(options, config);
  auto runner = load_runner(checkpoint, choice, progress);
  EngineInfo info;
  info.model = config.name;
  info.device = runner->facts().device;
  info.precision = token_formats(checkpoint, format_choice(options.precision));
  info.threads = thread_count(options.threads);
  info.image_size = config.vision.image_size;
  info.image_tokens = config.vision.tokens();
  info.context_tokens = std::min(options.context_tokens, config.text.max_positions);
  info.cache_tokens = choice.cache_tokens;
  info.parameters = parameters_of(checkpoint);
  info.scratch_bytes = runner->facts().scratch_bytes;
  info.weight_bytes = runner->facts().weight_bytes;
  Tokenizer ready = tokenizer.get();
  if (ready.size() > config.text.vocab_size) {
    throw make_error("{}: the tokenizer has {} tokens, the model's embedding {}",
                     checkpoint.tokenizer_folder().string(), ready.size(), config.text.vocab_size);
  }
  info.load_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return std::make_unique<EngineCore>(std::move(runner), std::move(ready), std::move(info),
                                      options.max_waiting);
}

}  // namespace

std::unique_ptr<Engine> Engine::load(const EngineOptions& options) {
  if (options.context_tokens < 1)
    throw make_error("context_tokens is {}, it must be 1 or more", options.context_tokens);
  if (options.cache_tokens < 0)
    throw make_error("cache_tokens is {}, it must not be negative", options.cache_tokens);
  const Checkpoint checkpoint =
      Checkpoint::open(options.model_path, options.model_base, options.on_warning);
  return make_engine(options, checkpoint);
}

Result Engine::run(Request request) {
  std::promise<Result> promise;
  auto future = promise.get_future();
  request.on_done = [&promise, done = std::move(request.on_done)](const Result& result) {
    if (done) done(result);
    promise.set_value(result);
  };
  submit(std::move(request));
  return future.get();
}

}  // namespace fvlm
