// Chooses the backend for a device and a precision in one place, and calls work(backend) with it.
#pragma once

#include <omp.h>

#include <cstdint>

#include "fvlm/core/error.hpp"
#include "kernels/cpu/cpu.hpp"
#include "kernels/cuda/host/cuda.hpp"
#include "kernels/ref/ref.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/checkpoint/weights.hpp"
#include "runtime/engine/engine.hpp"

namespace fvlm {

// Unless told, bf16, which the released weights are stored in, or what the file was quantised to.
inline FormatChoice format_choice(Precision precision) {
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

// The number of threads to use: as OpenMP would, one for each core, unless told.
inline int thread_count(int asked) {
  return asked > 0 ? asked : omp_get_max_threads();
}

struct BackendChoice {
  Device device = Device::kAuto;
  Precision precision = Precision::kAuto;
  int threads = 0;
  std::int64_t cache_tokens = 0;  // what the KV cache will hold
  WarningSink warn{};             // hears if a GPU is there that is not taken
};

// Whether to use a CUDA device. Throws Error if one was asked for by name and cannot be used.
bool takes_cuda(const Checkpoint& checkpoint, const BackendChoice& choice);

// With the type of activations that a precision stands for.
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

}  // namespace fvlm
