// Chooses the backend for a device and a precision in one place, and calls work(backend) with it.
#pragma once

#include <omp.h>

#include <utility>

#include "kernels/cpu/cpu.hpp"
#include "kernels/ref/ref.hpp"
#include "runtime/engine.hpp"

namespace fvlm {

// bf16 unless float32 is asked for: it is what the released weights are stored in.
inline WeightFormat weight_format(Precision precision) {
  return precision == Precision::kF32 ? WeightFormat::kF32 : WeightFormat::kBF16;
}

// The number of threads to use: as OpenMP would, one for each core, unless told.
inline int thread_count(int asked) {
  return asked > 0 ? asked : omp_get_max_threads();
}

template <class Work>
auto with_backend(Device device, Precision precision, int threads, const Work& work) {
  const WeightFormat format = weight_format(precision);
  if (device == Device::kRef) return work(Ref(format));
  return work(Cpu({.format = format, .threads = thread_count(threads)}));
}

}  // namespace fvlm
