// A checkpoint folder: config.json and the weights, in model.safetensors or in the shards that
// model.safetensors.index.json lists. Tensors are asked for by LLaVA's names whichever layout the
// files use, and stay in the mapped files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fvlm/models/config.hpp"
#include "runtime/safetensors.hpp"

namespace fvlm {

class Checkpoint {
 public:
  // Reads and checks config.json and the header of every weight file. Throws Error if anything is
  // missing, damaged or contradictory.
  static Checkpoint open(const std::filesystem::path& folder);

  const std::filesystem::path& folder() const { return folder_; }
  const FastVlmConfig& config() const { return config_; }

  // The tensor that LLaVA's layout calls `llava_name`; nullptr if there is none.
  const TensorView* find(std::string_view llava_name) const;

  // The same, for a floating-point tensor that must be there. Its data is aligned to its element
  // type. Shapes that differ only in ones at the end are the same: a linear layer [out, in] is the
  // 1x1 convolution [out, in, 1, 1]. Throws Error naming file, tensor and what was expected.
  const TensorView& require(std::string_view llava_name, std::span<const std::int64_t> shape) const;

  // Every tensor, in the order of the files.
  std::vector<const TensorView*> tensors() const;
  // Those that none of the names stands for: what a model with these tensors does not use.
  std::vector<const TensorView*> tensors_besides(std::span<const std::string> llava_names) const;

  // Gives the tensor's pages back to the system; its data stays readable (see MappedFile).
  void release(const TensorView& tensor) const;

 private:
  Checkpoint(std::filesystem::path folder, FastVlmConfig config,
             std::vector<SafetensorsFile> files);

  std::string stored_name(std::string_view llava_name) const;

  std::filesystem::path folder_;
  FastVlmConfig config_;
  std::vector<SafetensorsFile> files_;
  std::unordered_map<std::string_view, const TensorView*> by_stored_name_;
};

}  // namespace fvlm
