// Rewrites a checkpoint of any layout as one that loads at once: safetensors by LLaVA's names with
// everything folded (batch norms, layer scales, 1/255), aligned and with checksums.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "fvlm/ops/weight_format.hpp"

namespace fvlm {

struct ConvertOptions {
  std::filesystem::path input;   // a checkpoint folder
  std::filesystem::path base;    // of an adapter, else empty
  std::filesystem::path output;  // a folder: empty, or made if it is not there
  bool force = false;            // replaces a checkpoint that is there
  // Of the decoder's and the projector's matrices; small tensors become float32.
  WeightFormat format = WeightFormat::kBF16;
  // Of the encoder's; if none is given the same, or bf16 if that is quantised.
  std::optional<WeightFormat> vision_format;
  std::function<void(double fraction)> on_progress;            // in 0..1
  std::function<void(const std::string& message)> on_warning;  // about odd but usable weights
};

// Memory: some rows of a matrix at a time. The output appears, or is replaced, when it is whole.
// Throws Error if the input is wrong, a value does not fit the type, or the output holds anything
// or cannot be written.
void convert_checkpoint(const ConvertOptions& options);

// How far two checkpoints are apart: both describe the same synthetic picture in float32. `base` is
// that of `a`, if it is an adapter.
struct Comparison {
  bool same_tokens = false;
  double features = 0;  // |a - b| / |a|, of the encoder's output
  double logits = 0;    // the same, of the first step
};
Comparison compare_checkpoints(const std::filesystem::path& a, const std::filesystem::path& base,
                               const std::filesystem::path& b);

}  // namespace fvlm
