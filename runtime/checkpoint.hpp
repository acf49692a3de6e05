// A checkpoint folder: config.json and the weights, in model.safetensors or pytorch_model.bin or in
// the shards that their .index.json lists. Tensors are asked for by LLaVA's names whichever layout
// the files use, and stay in the mapped files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "fvlm/models/config.hpp"
#include "runtime/safetensors.hpp"
#include "runtime/torch_file.hpp"

namespace fvlm {

using WeightFile = std::variant<SafetensorsFile, TorchFile>;

class Checkpoint {
 public:
  // Reads and checks config.json and the header of every weight file. Throws Error if anything is
  // missing, damaged or contradictory.
  static Checkpoint open(const std::filesystem::path& folder);

  const std::filesystem::path& folder() const { return folder_; }
  const FastVlmConfig& config() const { return config_; }

  // The tensor that LLaVA's layout calls `llava_name`; nullptr if there is none.
  const TensorView* find(std::string_view llava_name) const;

  // The same, for a floating-point tensor that must be there. Shapes that differ only in ones at
  // the end are the same: a linear layer [out, in] is the 1x1 convolution [out, in, 1, 1]. Throws
  // Error naming file, tensor and what was expected.
  const TensorView& require(std::string_view llava_name, std::span<const std::int64_t> shape) const;

  // Every tensor, in the order of the files.
  std::vector<const TensorView*> tensors() const;
  // Those that none of the names stands for: what a model with these tensors does not use.
  std::vector<const TensorView*> tensors_besides(std::span<const std::string> llava_names) const;

  // Throws Error if the tensor's bytes do not have the checksum that its file keeps for them, if it
  // keeps one.
  void check_sum(const TensorView& tensor) const;
  // Gives the tensor's pages back to the system; its data stays readable (see MappedFile).
  void release(const TensorView& tensor) const;

 private:
  Checkpoint(std::filesystem::path folder, FastVlmConfig config, std::vector<WeightFile> files);

  std::string stored_name(std::string_view llava_name) const;
  const WeightFile& file_of(const TensorView& tensor) const;

  std::filesystem::path folder_;
  FastVlmConfig config_;
  std::vector<WeightFile> files_;
  struct Stored {
    const TensorView* tensor;
    std::size_t file;  // index
  };
  std::unordered_map<std::string_view, Stored> by_stored_name_;
};

}  // namespace fvlm
