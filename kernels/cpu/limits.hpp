// The roofline of this machine, measured: peak throughput of multiply-adds on registers and memory
// bandwidth, which every benchmark is compared with.
#pragma once

namespace fvlm {

struct CpuLimits {
  double f32_flops = 0;       // FLOP/s of all threads; multiply and add are two
  double bf16_flops = 0;      // the same in bf16; 0 where the processor lacks it and f32 is used
  double read_bandwidth = 0;  // bytes a second, all threads reading memory larger than any cache
};

// Takes about three seconds.
CpuLimits measure_cpu_limits(int threads);

}  // namespace fvlm
