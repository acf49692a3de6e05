#include "runtime/engine/load_runner.hpp"

#include <omp.h>

#include <algorithm>
#include <string>
#include <utility>

#include "fvlm/error.hpp"
#include "kernels/cpu/cpu.hpp"
#include "kernels/cuda/host/cuda.hpp"
#include "kernels/ref/ref.hpp"
#include "kernels/support/make_error.hpp"
#include "runtime/engine/backend_runner.hpp"

namespace fvlm {

FormatChoice format_choice(Precision precision) {
  switch (precision) {
    case Precision::kF32:
      return WeightFormat::kF32;
    case Precision::kBF16:
      return WeightFormat::kBF16;
    case Precision::kInt8:
      return WeightFormat::int8();
    case Precision::kInt4:
      return WeightFormat::int4();
    case Precision::kAuto:
      break;
  }
  return {WeightFormat::kBF16, true};
}

int thread_count(int asked) {
  return asked > 0 ? asked : omp_get_max_threads();
}

BackendChoice backend_choice(const EngineOptions& options, const FastVlmConfig& config) {
  constexpr std::int64_t kCachedContexts = 4;
  const auto paged = [](std::int64_t tokens) {
    return (tokens + kPageTokens - 1) / kPageTokens * kPageTokens;
  };
  const std::int64_t context = std::min(options.context_tokens, config.text.max_positions);
  return {.device = options.device,
          .precision = options.precision,
          .threads = options.threads,
          .cache_tokens = options.cache_tokens > 0 ? paged(options.cache_tokens)
                                                   : kCachedContexts * paged(context),
          .warn = options.on_warning};
}

namespace {

template <class B>
PassLimits limits_for(const FastVlmConfig& config) {
  PassLimits limits = pass_limits(config, B::kScratchBudget);
  limits.exact_rows = B::kBatchInvariantRows;
  return limits;
}

template <EngineBackend B>
ModelMemory memory_on(const B& backend, const Checkpoint& checkpoint, const BackendChoice& choice) {
  const FastVlmConfig& config = checkpoint.config();
  PlanOf<B> plan(format_choice(choice.precision), {.backend = &backend});
  FastVlm<PlanOf<B>> model(config);
  ShapeLoader<PlanOf<B>> shapes(plan, &checkpoint);
  model.visit(shapes);
  const std::int64_t element = sizeof(typename B::Element);
  return {.weights = plan.weight_bytes(),
          .scratch = plan_contexts(plan, model, config, limits_for<B>(config),
                                   choice.cache_tokens / kPageTokens)
                         .scratch_bytes(),
          .cache = 2 * element * config.text.layers * config.text.kv_size() * choice.cache_tokens};
}

// Calls work(backend) with the backend chosen.
template <Target target, class Work>
auto with_cuda(const BackendChoice& choice, const Work& work) {
  const FormatChoice formats = format_choice(choice.precision);
  if (choice.precision == Precision::kF32) return work(CudaBackend<target, float>(formats));
  return work(CudaBackend<target, BFloat16>(formats));
}

}  // namespace

#ifdef FVLM_HAS_CUDA
bool takes_cuda(const Checkpoint& checkpoint, const BackendChoice& choice) {
  if (choice.device != Device::kCuda && choice.device != Device::kAuto) return false;
  const bool by_name = choice.device == Device::kCuda;
  if (device_count<Target::kDevice>() == 0) {
    if (by_name) throw Error("--device cuda: there is no CUDA device, or no driver for it");
    return false;
  }
  const auto [weights, scratch, cache] = with_cuda<Target::kDevice>(
      choice, [&](const auto& backend) { return memory_on(backend, checkpoint, choice); });
  const auto needed = static_cast<double>(weights + scratch + cache);
  const DeviceProperties device = device_properties<Target::kDevice>();
  if (needed < 0.95 * static_cast<double>(device.free_bytes)) return true;
  const auto megabytes = [](auto bytes) { return static_cast<double>(bytes) / 1e6; };
  const std::string message = fmt::format(
      "{} needs {:.0f} MB on the GPU ({:.0f} of weights, {:.0f} of scratch memory, {:.0f} of KV "
      "cache); {} has {:.0f} MB free of {:.0f}",
      checkpoint.config().name, megabytes(needed), megabytes(weights), megabytes(scratch),
      megabytes(cache), device.name, megabytes(device.free_bytes), megabytes(device.total_bytes));
  if (by_name) throw make_error("--device cuda: {}", message);
  if (choice.warn) choice.warn(message + "; the CPU is used");
  return false;
}
#else
bool takes_cuda(const Checkpoint&, const BackendChoice& choice) {
  if (choice.device == Device::kCuda) {
    throw make_error(
        "--device cuda: this program was built without CUDA; build it where nvcc is, with "
        "cmake --preset cuda");
  }
  return false;
}
#endif

namespace {

template <class Work>
auto with_backend(const Checkpoint& checkpoint, const BackendChoice& choice, const Work& work) {
  const FormatChoice formats = format_choice(choice.precision);
#ifdef FVLM_HAS_CUDA
  if (takes_cuda(checkpoint, choice)) return with_cuda<Target::kDevice>(choice, work);
#else
  takes_cuda(checkpoint, choice);  // for its errors
#endif
#ifdef FVLM_HAS_EMULATOR
  if (choice.device == Device::kCudaEmulated) return with_cuda<Target::kEmulated>(choice, work);
#else
  if (choice.device == Device::kCudaEmulated) {
    throw Error("this build has no emulated CUDA device; configure it with -DFVLM_EMULATOR=ON");
  }
#endif
  if (choice.device == Device::kRef) return work(Ref(formats));
  return work(Cpu({.formats = formats, .threads = thread_count(choice.threads)}));
}

}  // namespace

ModelMemory plan_memory(const Checkpoint& checkpoint, const BackendChoice& choice) {
  return with_backend(checkpoint, choice,
                      [&](const auto& backend) { return memory_on(backend, checkpoint, choice); });
}

std::unique_ptr<ModelRunner> load_runner(const Checkpoint& checkpoint, const BackendChoice& choice,
                                         const LoadProgress& progress) {
  const FastVlmConfig& config = checkpoint.config();
  return with_backend(checkpoint, choice, [&]<class B>(B backend) -> std::unique_ptr<ModelRunner> {
    return std::make_unique<BackendRunner<B>>(
        config, std::move(backend), limits_for<B>(config), choice.cache_tokens / kPageTokens,
        [&](B& to, FastVlm<B>& model) {
          load_weights(checkpoint, to, model, progress, choice.warn);
        });
  });
}

}  // namespace fvlm
