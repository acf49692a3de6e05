// What launch() on a device needs of host code, so that nvcc reads no more of it.
#pragma once

#include <string_view>

namespace fvlm {

// Throws an Error that names the kernel, the CUDA call and what its status means.
[[noreturn]] void fail_launch(std::string_view kernel, const char* call, int status);

// Whether the current device can begin a kernel before the last one has ended.
bool device_overlaps_kernels();

}  // namespace fvlm
