// From a checkpoint to a model that runs: the one place where a device and a precision become a
// backend.
#pragma once

#include <cstdint>
#include <memory>

#include "fvlm/engine.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/checkpoint/weights.hpp"
#include "runtime/engine/runner.hpp"

namespace fvlm {

struct BackendChoice {
  Device device = Device::kAuto;
  int device_index = 0;  // of a CUDA device asked for by name
  bool tuning = true;
  Precision precision = Precision::kAuto;
  int threads = 0;                // 0: one for each processor that it may use
  std::int64_t cache_tokens = 0;  // capacity of the KV cache, in whole pages
  std::size_t image_cache_bytes = 0;
  WarningSink warn{};  // hears if a GPU is there that is not taken, and of odd weights
};

// What an engine with these options loads.
BackendChoice backend_choice(const EngineOptions& options, const FastVlmConfig& config);

// By default bf16, the format of the released weights, or the format a checkpoint is quantised to.
FormatChoice format_choice(Precision precision);

// The number of threads to use: one for each available processor, unless told.
int thread_count(int asked);

// Throws Error if the choice names a CUDA device by a number that none has.
void check_device_index(const BackendChoice& choice);

// Whether to use a CUDA device. Throws Error if one was asked for by name and cannot be used.
bool takes_cuda(const Checkpoint& checkpoint, const BackendChoice& choice);

// Bytes of what is loaded, before it is: weights in the least space, scratch memory of the
// contexts, the KV cache.
struct ModelMemory {
  std::int64_t weights = 0;
  std::int64_t scratch = 0;
  std::int64_t cache = 0;
};
ModelMemory plan_memory(const Checkpoint& checkpoint, const BackendChoice& choice);

// Of the whole model, as the checkpoint stores it.
std::int64_t parameters_of(const Checkpoint& checkpoint);

// Loads all weights; see load_weights. Throws Error for wrong files, and for devices that are not
// there or whose memory is too small.
std::unique_ptr<ModelRunner> load_runner(const Checkpoint& checkpoint, const BackendChoice& choice,
                                         const LoadProgress& progress = {});

}  // namespace fvlm
