// Chooses the backend for a device and a precision in one place, and calls work(backend) with it.
#pragma once

#include <omp.h>

#include <utility>

#include "kernels/cpu/cpu.hpp"
#include "kernels/ref/ref.hpp"
#include "runtime/engine.hpp"

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

template <class Work>
auto with_backend(Device device, Precision precision, int threads, const Work& work) {
  const FormatChoice formats = format_choice(precision);
  if (device == Device::kRef) return work(Ref(formats));
  return work(Cpu({.formats = formats, .threads = thread_count(threads)}));
}

}  // namespace fvlm
