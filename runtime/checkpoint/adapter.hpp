// LoRA adapters as PEFT writes them: their settings, and the names of their tensors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "runtime/config/config_keys.hpp"

namespace fvlm {

// W becomes W + scale(rank) * B A, with A [rank, in] and B [out, rank].
struct Adapter {
  double alpha = 0;
  bool rank_stabilised = false;  // alpha / sqrt(rank) instead of alpha / rank

  double scale(std::int64_t rank) const;
};

// Reads FOLDER/adapter_config.json; one with alpha 0 if there is none. Throws Error if it asks for
// another kind of adapter or for settings that this library does not apply.
Adapter read_adapter(const std::filesystem::path& folder, const ConfigWarning& warn = {});

// The model's name for a tensor that was stored by a wrapper of PEFT's:
// "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight" is matrix A of
// "model.layers.0.mlp.up_proj.weight".
struct AdapterName {
  // kOriginal: what a wrapper keeps of the base beside what it saves in its place.
  enum class Part : char { kWhole, kA, kB, kOriginal };
  std::string name;
  Part part = Part::kWhole;
};
AdapterName parse_adapter_name(std::string_view stored);

}  // namespace fvlm
