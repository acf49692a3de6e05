// Finds the weight files of a folder and makes one set of tensors of them.
#include "runtime/checkpoint.hpp"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_set>
#include <utility>

#include "fvlm/core/error.hpp"
#include "runtime/config_file.hpp"
#include "runtime/json_file.hpp"
#include "runtime/tensor_names.hpp"

namespace fvlm {
namespace {

using std::filesystem::path;

constexpr std::string_view kSingleFile = "model.safetensors";
constexpr std::string_view kIndexFile = "model.safetensors.index.json";

// Unlike the plain std::filesystem::exists, never throws.
bool file_exists(const path& file) {
  std::error_code unreadable;
  return std::filesystem::exists(file, unreadable);
}

// Shard names come from a file: one that leads out of the folder or would break a message is
// refused.
bool is_plain_file_name(const std::string& name) {
  const auto is_odd = [](char c) { return c == '/' || (c >= 0 && c < ' '); };
  return !name.empty() && name != "." && name != ".." && std::ranges::none_of(name, is_odd);
}

// {tensor name: shard's file name}
std::map<std::string, std::string> read_weight_map(const path& index) {
  const nlohmann::json json = read_json_object(index);
  const auto map = json.find("weight_map");
  if (map == json.end() || !map->is_object()) {
    throw Error("{}: missing key \"weight_map\" with an object of tensor and file names",
                index.string());
  }
  std::map<std::string, std::string> weight_map;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string() || !is_plain_file_name(file.get_ref<const std::string&>())) {
      throw Error("{}: tensor {}: expected the name of a file in this folder, found {}",
                  index.string(), in_quotes(tensor), in_quotes(file.dump(-1, ' ', true)));
    }
    weight_map.emplace(tensor, file.get<std::string>());
  }
  return weight_map;
}

std::vector<SafetensorsFile> open_shards(const path& folder) {
  const path index = folder / kIndexFile;
  const auto weight_map = read_weight_map(index);
  std::set<std::string> names;
  for (const auto& [tensor, file] : weight_map) names.insert(file);

  std::vector<SafetensorsFile> shards;
  std::map<std::string_view, const SafetensorsFile*> by_name;
  shards.reserve(names.size());  // by_name points into it
  for (const std::string& name : names) {
    if (!file_exists(folder / name)) {
      throw Error("{}: the file is missing, but {} lists it", (folder / name).string(), kIndexFile);
    }
    shards.push_back(SafetensorsFile::open(folder / name));
    by_name.emplace(name, &shards.back());
  }
  for (const auto& [tensor, file] : weight_map) {
    if (by_name.at(file)->find(tensor) == nullptr) {
      throw Error("{}: tensor {} is missing, but {} says that it is in this file",
                  (folder / file).string(), in_quotes(tensor), kIndexFile);
    }
  }
  return shards;
}

bool has_pytorch_weights(const path& folder) {
  std::error_code unreadable;
  const std::filesystem::directory_iterator files(folder, unreadable);
  return std::any_of(begin(files), end(files), [](const auto& entry) {
    return entry.path().filename().string().starts_with("pytorch_model") &&
           entry.path().extension() == ".bin";
  });
}

std::vector<SafetensorsFile> open_weights(const path& folder) {
  // Like Transformers, which reads the single file if there are both.
  if (file_exists(folder / kSingleFile)) {
    std::vector<SafetensorsFile> files;
    files.push_back(SafetensorsFile::open(folder / kSingleFile));
    return files;
  }
  if (file_exists(folder / kIndexFile)) return open_shards(folder);
  if (has_pytorch_weights(folder)) {
    throw Error(
        "{}: the weights are PyTorch files (pytorch_model*.bin); convert them first with "
        "`fastvlm convert`",
        folder.string());
  }
  throw Error("{}: no weights: expected {} or {}", folder.string(), kSingleFile, kIndexFile);
}

std::span<const std::int64_t> without_ones_at_end(std::span<const std::int64_t> shape) {
  while (!shape.empty() && shape.back() == 1) shape = shape.first(shape.size() - 1);
  return shape;
}

bool is_aligned(const TensorView& tensor) {
  return reinterpret_cast<std::uintptr_t>(tensor.data.data()) % size_of(tensor.dtype) == 0;
}

}  // namespace

Checkpoint Checkpoint::open(const path& folder) {
  FastVlmConfig config = read_config(folder);
  return {folder, std::move(config), open_weights(folder)};
}

Checkpoint::Checkpoint(path folder, FastVlmConfig config, std::vector<SafetensorsFile> files)
    : folder_(std::move(folder)), config_(std::move(config)), files_(std::move(files)) {
  for (const TensorView* tensor : tensors()) {
    const auto [existing, is_new] = by_stored_name_.emplace(tensor->name, tensor);
    if (!is_new) {
      throw Error("{}: tensor {} is also in {}", tensor->file, in_quotes(tensor->name),
                  existing->second->file);
    }
  }
}

std::string Checkpoint::stored_name(std::string_view llava_name) const {
  return config_.layout == TensorLayout::kHuggingFace ? hugging_face_name(llava_name)
                                                      : std::string(llava_name);
}

const TensorView* Checkpoint::find(std::string_view llava_name) const {
  const auto found = by_stored_name_.find(stored_name(llava_name));
  return found == by_stored_name_.end() ? nullptr : found->second;
}

const TensorView& Checkpoint::require(std::string_view llava_name,
                                      std::span<const std::int64_t> shape) const {
  const TensorView* tensor = find(llava_name);
  if (tensor == nullptr) {
    const path& where = files_.size() == 1 ? files_.front().file().path() : folder_;
    throw Error("{}: tensor {} is missing, expected shape [{}]", where.string(),
                in_quotes(stored_name(llava_name)), fmt::join(shape, ", "));
  }
  if (!std::ranges::equal(without_ones_at_end(tensor->shape), without_ones_at_end(shape))) {
    throw Error("{}: tensor {}: expected shape [{}], found [{}]", tensor->file,
                in_quotes(tensor->name), fmt::join(shape, ", "), fmt::join(tensor->shape, ", "));
  }
  if (!is_floating_point(tensor->dtype)) {
    throw Error("{}: tensor {}: expected F32, F16 or BF16, found {}", tensor->file,
                in_quotes(tensor->name), name_of(tensor->dtype));
  }
  if (!is_aligned(*tensor)) {
    throw Error(
        "{}: tensor {}: its data is not aligned to its {}-byte elements; rewrite the file "
        "with `fastvlm convert`",
        tensor->file, in_quotes(tensor->name), size_of(tensor->dtype));
  }
  return *tensor;
}

std::vector<const TensorView*> Checkpoint::tensors() const {
  std::vector<const TensorView*> all;
  for (const SafetensorsFile& file : files_) {
    std::ranges::transform(file.tensors(), std::back_inserter(all),
                           [](const TensorView& tensor) { return &tensor; });
  }
  return all;
}

std::vector<const TensorView*> Checkpoint::tensors_besides(
    std::span<const std::string> llava_names) const {
  std::unordered_set<std::string> used;
  for (const std::string& name : llava_names) used.insert(stored_name(name));
  std::vector<const TensorView*> others = tensors();
  std::erase_if(others, [&](const TensorView* tensor) { return used.contains(tensor->name); });
  return others;
}

void Checkpoint::release(const TensorView& tensor) const {
  const auto file = std::ranges::find(
      files_, tensor.file, [](const SafetensorsFile& f) { return f.file().path().string(); });
  if (file != files_.end()) file->file().release(tensor.data);
}

}  // namespace fvlm
