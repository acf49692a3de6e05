// A checkpoint folder: config.json and the weights, in model.safetensors or pytorch_model.bin or in
// the shards that their .index.json lists. Tensors are asked for by LLaVA's names whichever layout
// the files use, and stay in the mapped files.
//
// What LLaVA's training leaves beside or instead of whole weights is put on top: mm_projector.bin
// and non_lora_trainables.bin replace tensors, adapter_model.* (LoRA) changes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "fvlm/models/config.hpp"
#include "fvlm/ops/host_weights.hpp"
#include "fvlm/ops/spec.hpp"
#include "runtime/checkpoint/adapter.hpp"
#include "runtime/checkpoint/safetensors.hpp"
#include "runtime/checkpoint/torch_file.hpp"

namespace fvlm {

using WeightFile = std::variant<SafetensorsFile, TorchFile>;

class Checkpoint {
 public:
  // Reads and checks config.json and the header of every weight file. Throws Error if anything is
  // missing, damaged or contradictory.
  // `base`: the folder of the whole weights, if `folder` has only what was trained. `warn` hears of
  // settings that are not known.
  static Checkpoint open(const std::filesystem::path& folder,
                         const std::filesystem::path& base = {}, const ConfigWarning& warn = {});

  const std::filesystem::path& folder() const { return folder_; }
  // Where the tokenizer is: as Apple's loader has it, the base's counts.
  const std::filesystem::path& tokenizer_folder() const { return tokenizer_folder_; }
  const FastVlmConfig& config() const { return config_; }

  // Whether `fastvlm convert` wrote it: batch norms, layer scales and 1/255 are folded already.
  bool is_folded() const { return folded_; }
  // What the files hold for a parameter.
  template <class Spec>
  Spec as_stored(const std::string&, const Spec& spec) const {
    return folded_ ? folded(spec) : spec;
  }
  // Besides, with the formats of matrices that are quantised.
  LinearSpec as_stored(const std::string& path, const LinearSpec& spec) const;
  template <class Spec>
  std::vector<StoredTensor> stored(const std::string& path, const Spec& spec) const {
    return stored_tensors(path, as_stored(path, spec));
  }

  // The tensor that LLaVA's layout calls `llava_name`; nullptr if there is none.
  const TensorView* find(std::string_view llava_name) const;

  // The same, for one that must be there, with its shape and of a type that fits its role. Shapes
  // that differ only in ones at the end are the same: a linear layer [out, in] is the 1x1
  // convolution [out, in, 1, 1]. Throws Error naming file, tensor and what was expected.
  const TensorView& require(const StoredTensor& wanted) const;

  // The change that a LoRA adapter makes to a matrix of this shape; nullptr if there is none.
  std::shared_ptr<const LowRank> low_rank(std::string_view llava_name,
                                          std::span<const std::int64_t> shape) const;

  // Every tensor of the model's, in the order of the files.
  std::vector<const TensorView*> tensors() const;
  // Those that none of the names stands for: what a model with these tensors does not use.
  std::vector<const TensorView*> tensors_besides(std::span<const std::string> llava_names) const;

  // Throws Error if the tensor's bytes do not have the checksum that its file keeps for them, if it
  // keeps one.
  void check_sum(const TensorView& tensor) const;
  // Gives the tensor's pages back to the system; its data stays readable (see MappedFile).
  void release(const TensorView& tensor) const;

 private:
  Checkpoint(std::filesystem::path folder, FastVlmConfig config, std::vector<WeightFile> files,
             std::vector<WeightFile> changes, const Adapter& adapter);

  void add_changes(const WeightFile& file, const Adapter& adapter);
  std::string stored_name(std::string_view llava_name) const;
  const WeightFile& file_of(const TensorView& tensor) const;

  std::filesystem::path folder_;
  std::filesystem::path tokenizer_folder_;
  FastVlmConfig config_;
  std::vector<WeightFile> files_;
  bool folded_ = false;
  std::unordered_map<std::string, const TensorView*> by_stored_name_;
  struct Change {
    const TensorView* a = nullptr;
    const TensorView* b = nullptr;
    double scale = 1;
  };
  std::unordered_map<std::string, Change> changes_;  // by the name of the matrix
};

}  // namespace fvlm
