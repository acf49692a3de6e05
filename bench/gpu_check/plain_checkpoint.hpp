// Safetensors files and config.json by way of an index that plain_index.py has made of them, one
// line each, so that nothing here reads JSON:
//   tensor NAME DTYPE BEGIN END SIZE...     bytes of the file, after its header
//   config KEY VALUE...
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fvlm/models/config.hpp"
#include "fvlm/ops/host_weights.hpp"
#include "fvlm/ops/spec.hpp"
#include "runtime/checkpoint/tensor_view.hpp"
#include "runtime/support/mapped_file.hpp"

namespace fvlm {

class PlainFile {
 public:
  // FILE.index is beside FILE. Throws Error if one of them cannot be read.
  explicit PlainFile(const std::filesystem::path& file);

  const FastVlmConfig& config() const { return config_; }
  // Throws Error if there is no such tensor.
  const TensorView& tensor(const std::string& name) const;
  std::vector<float> floats(const std::string& name) const;

  // A source of tensors for fold.hpp.
  const TensorView& require(const StoredTensor& stored) const { return tensor(stored.name); }
  std::shared_ptr<const LowRank> low_rank(std::string_view, std::span<const std::int64_t>) const {
    return nullptr;
  }

 private:
  void read_config(const std::string& key, std::span<const double> values);

  MappedFile file_;
  std::map<std::string, TensorView> tensors_;
  FastVlmConfig config_;
};

}  // namespace fvlm
