// What a device can do, for benchmarks to hold their figures against: measured, not looked up.
#pragma once

namespace fvlm {

struct GpuLimits {
  double bf16_flops = 0;  // of a large matrix product, a second
  double bandwidth = 0;   // bytes read and written a second by a large copy on the device
};

// Of the current device; takes some tenths of a second and 1 GB. Throws an Error without a device.
GpuLimits measure_gpu_limits();

}  // namespace fvlm
