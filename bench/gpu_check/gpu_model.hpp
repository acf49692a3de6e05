// A model in the CUDA backend on a device, from any source of weights: LoadedModel without the
// engine's reader of checkpoints.
#pragma once

#include <cstdint>
#include <utility>

#include "fvlm/models/fastvlm.hpp"
#include "kernels/cuda/host/cuda.hpp"
#include "runtime/engine/loaded_model.hpp"

namespace fvlm {

template <class E>
struct GpuModel {
  using B = CudaBackend<Target::kDevice, E>;

  FastVlmConfig config;
  B backend;
  FastVlm<B> model;

  // `load(backend, model)` gives all parameters their weights. `images`, `rows`: of the largest
  // passes of the encoder and of the decoder.
  template <class Load>
  GpuModel(const FastVlmConfig& sizes, const FormatChoice& formats, PassLimits limits,
           const Load& load)
      : config(sizes), backend(formats), model(sizes) {
    load(backend, model);
    backend.arena() = Arena::measuring();
    backend.reserve(measure_passes(backend, model, config, limits));
  }
};

}  // namespace fvlm
