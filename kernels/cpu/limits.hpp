// What this machine can do at best, measured: the yardstick of every benchmark.
#pragma once

namespace fvlm {

struct CpuLimits {
  double f32_flops = 0;       // of oneDNN's best matrix product; multiply and add are two
  double bf16_flops = 0;      // the same in bf16; 0 where the processor lacks it and f32 is used
  double read_bandwidth = 0;  // bytes a second, all threads reading memory no cache can hold
};

// Takes about two seconds.
CpuLimits measure_cpu_limits(int threads);

}  // namespace fvlm
