// The devices that a test of the engine runs on without a GPU, and their names in names of tests.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "fvlm/engine.hpp"

namespace fvlm {

inline auto every_device() {
#ifdef FVLM_HAS_EMULATOR
  return testing::Values(Device::kRef, Device::kCpu, Device::kCudaEmulated);
#else
  return testing::Values(Device::kRef, Device::kCpu);
#endif
}

inline std::string device_suffix(Device device) {
  if (device == Device::kRef) return "_ref";
  return device == Device::kCpu ? "_cpu" : "_cuda_emulated";
}

}  // namespace fvlm
