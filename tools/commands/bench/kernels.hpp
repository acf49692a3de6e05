// fastvlm bench --kernels: each matrix product of the model on the CUDA device, alone.
#pragma once

#include "fvlm/engine.hpp"
#include "runtime/checkpoint/checkpoint.hpp"

namespace fvlm {

// Prints a table, or one JSON object. Throws Error without a CUDA device.
int bench_kernels(const EngineOptions& engine, const Checkpoint& checkpoint, int runs, bool json);

}  // namespace fvlm
