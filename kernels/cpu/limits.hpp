// The roofline of this machine, measured: peak GEMM throughput and memory bandwidth, which every
// benchmark is compared with.
#pragma once

namespace fvlm {

struct CpuLimits {
  double f32_flops = 0;       // FLOP/s of oneDNN's best GEMM; multiply and add are two
  double bf16_flops = 0;      // the same in bf16; 0 where the processor lacks it and f32 is used
  double read_bandwidth = 0;  // bytes a second, all threads reading memory larger than any cache
};

// Takes about two seconds.
CpuLimits measure_cpu_limits(int threads);

}  // namespace fvlm
