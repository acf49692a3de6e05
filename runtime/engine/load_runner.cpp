#include "runtime/engine/load_runner.hpp"

#include <omp.h>

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

#ifdef FVLM_HAS_CUDA
bool takes_cuda(const Checkpoint& checkpoint, const BackendChoice& choice) {
  if (choice.device != Device::kCuda && choice.device != Device::kAuto) return false;
  const bool by_name = choice.device == Device::kCuda;
  if (device_count<Target::kDevice>() == 0) {
    if (by_name) throw Error("--device cuda: there is no CUDA device, or no driver for it");
    return false;
  }
  const FastVlmConfig& config = checkpoint.config();
  const FormatChoice formats = format_choice(choice.precision);
  Plan plan(formats);
  FastVlm<Plan> model(config);
  ShapeLoader<Plan> shapes(plan, &checkpoint);
  model.visit(shapes);
  const auto weights = static_cast<double>(plan.weight_bytes());
  const double element = choice.precision == Precision::kF32 ? 4 : 2;
  // Twice: the encoder has some of its own, to run beside the decoder.
  const double scratch =
      static_cast<double>(scratch_bytes(
          config, pass_limits(config, CudaBackend<Target::kDevice, BFloat16>::kScratchBudget))) *
      2 * element / 4;
  const double cache =
      2 * element *
      static_cast<double>(config.text.layers * config.text.kv_size() * choice.cache_tokens);
  const double needed = weights + scratch + cache;
  const DeviceProperties device = device_properties<Target::kDevice>();
  if (needed < 0.95 * static_cast<double>(device.free_bytes)) return true;
  const std::string message = fmt::format(
      "{} needs {:.0f} MB on the GPU ({:.0f} of weights, {:.0f} of scratch memory, {:.0f} of KV "
      "cache); {} has {:.0f} MB free of {:.0f}",
      config.name, needed / 1e6, weights / 1e6, scratch / 1e6, cache / 1e6, device.name,
      static_cast<double>(device.free_bytes) / 1e6, static_cast<double>(device.total_bytes) / 1e6);
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

// Calls work(backend) with the backend chosen.
template <Target target, class Work>
auto with_cuda(const BackendChoice& choice, const Work& work) {
  const FormatChoice formats = format_choice(choice.precision);
  if (choice.precision == Precision::kF32) return work(CudaBackend<target, float>(formats));
  return work(CudaBackend<target, BFloat16>(formats));
}
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

std::unique_ptr<ModelRunner> load_runner(const Checkpoint& checkpoint, const BackendChoice& choice,
                                         const LoadProgress& progress) {
  const FastVlmConfig& config = checkpoint.config();
  return with_backend(checkpoint, choice, [&]<class B>(B backend) -> std::unique_ptr<ModelRunner> {
    PassLimits limits = pass_limits(config, B::kScratchBudget);
    limits.exact_rows = B::kExactRows;
    return std::make_unique<BackendRunner<B>>(
        config, std::move(backend), limits, choice.cache_tokens / kPageTokens,
        [&](B& to, FastVlm<B>& model) {
          load_weights(checkpoint, to, model, progress, choice.warn);
        });
  });
}

}  // namespace fvlm
