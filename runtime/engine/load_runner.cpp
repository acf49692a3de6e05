#include "runtime/engine/load_runner.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "fvlm/error.hpp"
#include "kernels/cpu/cpu.hpp"
#include "kernels/cuda/host/cuda.hpp"
#include "kernels/ref/ref.hpp"
#include "kernels/support/make_error.hpp"
#include "kernels/support/processors.hpp"
#include "runtime/engine/backend_runner.hpp"
#include "runtime/engine/tune_tiles.hpp"

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
  return asked > 0 ? asked : available_processors();
}

BackendChoice backend_choice(const EngineOptions& options, const FastVlmConfig& config) {
  constexpr std::int64_t kCachedContexts = 4;
  const auto paged = [](std::int64_t tokens) {
    return (tokens + kPageTokens - 1) / kPageTokens * kPageTokens;
  };
  const std::int64_t context = std::min(options.context_tokens, config.text.max_positions);
  return {.device = options.device,
          .device_index = options.device_index,
          .tuning = options.tuning,
          .precision = options.precision,
          .threads = options.threads,
          .cache_tokens = options.cache_tokens > 0 ? paged(options.cache_tokens)
                                                   : kCachedContexts * paged(context),
          .image_cache_bytes = options.image_cache_bytes,
          .warn = options.on_warning};
}

namespace {

template <class B>
PassLimits limits_for(const B& backend, const FastVlmConfig& config, const BackendChoice& choice) {
  const std::int64_t image_bytes = config.vision.tokens() * config.text.hidden_size *
                                   static_cast<std::int64_t>(sizeof(typename B::Element));
  PassLimits limits = pass_limits(config, backend.pass_budget());
  limits.kept_images = static_cast<std::int64_t>(choice.image_cache_bytes) / image_bytes;
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
          .scratch = plan_contexts(plan, model, config, limits_for(backend, config, choice),
                                   choice.cache_tokens / kPageTokens)
                         .scratch_bytes(),
          .cache = 2 * element * config.text.layers * config.text.kv_size() * choice.cache_tokens};
}

// Calls work(backend) with the backend chosen.
template <Target target, class Work>
auto with_cuda(const BackendChoice& choice, const Work& work) {
  const FormatChoice formats = format_choice(choice.precision);
  const int device = choice.device_index;
  if (choice.precision == Precision::kF32) return work(CudaBackend<target, float>(formats, device));
  return work(CudaBackend<target, BFloat16>(formats, device));
}

template <Target target>
void check_index(int index, std::string_view flag) {
  const int count = device_count<target>();
  if (index >= 0 && index < count) return;
  std::string devices;
  for (int i = 0; i < count; ++i) {
    devices += fmt::format("{}{}:{} ({})", i == 0 ? "" : ", ", flag, i, device_name<target>(i));
  }
  throw make_error("--device {}:{}: there {} {} such device{}: {}", flag, index,
                   count == 1 ? "is" : "are", count, count == 1 ? "" : "s", devices);
}

}  // namespace

void check_device_index(const BackendChoice& choice) {
#ifdef FVLM_HAS_CUDA
  if (choice.device == Device::kCuda) check_index<Target::kDevice>(choice.device_index, "cuda");
#endif
#ifdef FVLM_HAS_EMULATOR
  if (choice.device == Device::kCudaEmulated) {
    check_index<Target::kEmulated>(choice.device_index, "cuda-emulated");
  }
#endif
  static_cast<void>(choice);
}

#ifdef FVLM_HAS_CUDA
bool takes_cuda(const Checkpoint& checkpoint, const BackendChoice& choice) {
  if (choice.device != Device::kCuda && choice.device != Device::kAuto) return false;
  const bool by_name = choice.device == Device::kCuda;
  if (device_count<Target::kDevice>() == 0) {
    if (by_name) throw Error("--device cuda: there is no CUDA device, or no driver for it");
    return false;
  }
  check_device_index(choice);
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

// Of backends that have tiles to choose from; see tuning.hpp.
template <class B>
void tune_tiles(BackendRunner<B>&, const Checkpoint&, const WarningSink&) {}

template <class Work>
auto with_backend(const Checkpoint& checkpoint, const BackendChoice& choice, const Work& work) {
  const FormatChoice formats = format_choice(choice.precision);
#ifdef FVLM_HAS_CUDA
  if (takes_cuda(checkpoint, choice)) return with_cuda<Target::kDevice>(choice, work);
#else
  takes_cuda(checkpoint, choice);  // for its errors
#endif
#ifdef FVLM_HAS_EMULATOR
  if (choice.device == Device::kCudaEmulated) {
    check_device_index(choice);
    return with_cuda<Target::kEmulated>(choice, work);
  }
#else
  if (choice.device == Device::kCudaEmulated) {
    throw Error("this build has no emulated CUDA device; configure it with -DFVLM_EMULATOR=ON");
  }
#endif
  if (choice.device == Device::kRef) return work(Ref(formats));
  return work(Cpu({.formats = formats, .threads = thread_count(choice.threads)}));
}

class ParameterCounter : public Visitor<ParameterCounter> {
 public:
  explicit ParameterCounter(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  template <class P>
  void leaf(const std::string& path, const P& parameter) {
    for (const StoredTensor& stored : checkpoint_.stored(path, parameter.spec)) {
      sum_ += stored.parameters();
    }
  }
  std::int64_t sum() const { return sum_; }

 private:
  const Checkpoint& checkpoint_;
  std::int64_t sum_ = 0;
};

}  // namespace

ModelMemory plan_memory(const Checkpoint& checkpoint, const BackendChoice& choice) {
  return with_backend(checkpoint, choice,
                      [&](const auto& backend) { return memory_on(backend, checkpoint, choice); });
}

std::int64_t parameters_of(const Checkpoint& checkpoint) {
  FastVlm<PlanOf<Ref>> model(checkpoint.config());
  ParameterCounter counter(checkpoint);
  model.visit(counter);
  return counter.sum();
}

std::unique_ptr<ModelRunner> load_runner(const Checkpoint& checkpoint, const BackendChoice& choice,
                                         const LoadProgress& progress) {
  const FastVlmConfig& config = checkpoint.config();
  return with_backend(checkpoint, choice, [&]<class B>(B backend) -> std::unique_ptr<ModelRunner> {
    const PassLimits limits = limits_for(backend, config, choice);
    auto runner = std::make_unique<BackendRunner<B>>(
        config, std::move(backend), limits, choice.cache_tokens / kPageTokens,
        [&](B& to, FastVlm<B>& model) {
          load_weights(checkpoint, to, model, progress, choice.warn);
        });
    if (choice.tuning) tune_tiles(*runner, checkpoint, choice.warn);
    return runner;
  });
}

}  // namespace fvlm
