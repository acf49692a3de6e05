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

// Where weights may be, in the order in which Transformers looks for them.
struct WeightNames {
  std::string_view single;
  std::string_view index;  // of shards
};
constexpr WeightNames kWeightNames[] = {
    {"model.safetensors", "model.safetensors.index.json"},
    {"pytorch_model.bin", "pytorch_model.bin.index.json"},
};

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

WeightFile open_weight_file(const path& file) {
  if (file.extension() == ".safetensors") return SafetensorsFile::open(file);
  return TorchFile(file);
}

const std::vector<TensorView>& tensors_of(const WeightFile& file) {
  return std::visit(
      [](const auto& f) -> const auto& { return f.tensors(); }, file);
}
const MappedFile& mapped(const WeightFile& file) {
  return std::visit(
      [](const auto& f) -> const auto& { return f.file(); }, file);
}

std::vector<WeightFile> open_shards(const path& folder, std::string_view index_name) {
  const auto weight_map = read_weight_map(folder / index_name);
  std::set<std::string> names;
  for (const auto& [tensor, file] : weight_map) names.insert(file);

  std::vector<WeightFile> shards;
  std::map<std::string_view, std::set<std::string_view>> held;
  for (const std::string& name : names) {
    if (!file_exists(folder / name)) {
      throw Error("{}: the file is missing, but {} lists it", (folder / name).string(), index_name);
    }
    shards.push_back(open_weight_file(folder / name));
    for (const TensorView& tensor : tensors_of(shards.back())) held[name].insert(tensor.name);
  }
  for (const auto& [tensor, file] : weight_map) {
    if (!held[file].contains(tensor)) {
      throw Error("{}: tensor {} is missing, but {} says that it is in this file",
                  (folder / file).string(), in_quotes(tensor), index_name);
    }
  }
  return shards;
}

std::vector<WeightFile> open_weights(const path& folder) {
  for (const WeightNames& names : kWeightNames) {
    if (file_exists(folder / names.single)) {
      std::vector<WeightFile> files;
      files.push_back(open_weight_file(folder / names.single));
      return files;
    }
    if (file_exists(folder / names.index)) return open_shards(folder, names.index);
  }
  throw Error("{}: no weights: expected {}, {} or the {} of shards", folder.string(),
              kWeightNames[0].single, kWeightNames[1].single, kWeightNames[0].index);
}

std::span<const std::int64_t> without_ones_at_end(std::span<const std::int64_t> shape) {
  while (!shape.empty() && shape.back() == 1) shape = shape.first(shape.size() - 1);
  return shape;
}

}  // namespace

Checkpoint Checkpoint::open(const path& folder) {
  FastVlmConfig config = read_config(folder);
  return {folder, std::move(config), open_weights(folder)};
}

Checkpoint::Checkpoint(path folder, FastVlmConfig config, std::vector<WeightFile> files)
    : folder_(std::move(folder)), config_(std::move(config)), files_(std::move(files)) {
  for (std::size_t i = 0; i < files_.size(); ++i) {
    for (const TensorView& tensor : tensors_of(files_[i])) {
      const auto [existing, is_new] = by_stored_name_.emplace(tensor.name, Stored{&tensor, i});
      if (!is_new) {
        throw Error("{}: tensor {} is also in {}", tensor.file, in_quotes(tensor.name),
                    existing->second.tensor->file);
      }
    }
  }
}

std::string Checkpoint::stored_name(std::string_view llava_name) const {
  return config_.layout == TensorLayout::kHuggingFace ? hugging_face_name(llava_name)
                                                      : std::string(llava_name);
}

const TensorView* Checkpoint::find(std::string_view llava_name) const {
  const auto found = by_stored_name_.find(stored_name(llava_name));
  return found == by_stored_name_.end() ? nullptr : found->second.tensor;
}

const TensorView& Checkpoint::require(std::string_view llava_name,
                                      std::span<const std::int64_t> shape) const {
  const TensorView* tensor = find(llava_name);
  if (tensor == nullptr) {
    const path& where = files_.size() == 1 ? mapped(files_.front()).path() : folder_;
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
  return *tensor;
}

std::vector<const TensorView*> Checkpoint::tensors() const {
  std::vector<const TensorView*> all;
  for (const WeightFile& file : files_) {
    std::ranges::transform(tensors_of(file), std::back_inserter(all),
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

const WeightFile& Checkpoint::file_of(const TensorView& tensor) const {
  return files_[by_stored_name_.at(tensor.name).file];
}

void Checkpoint::check_sum(const TensorView& tensor) const {
  if (const auto* torch = std::get_if<TorchFile>(&file_of(tensor))) torch->check_sum(tensor);
}

void Checkpoint::release(const TensorView& tensor) const {
  mapped(file_of(tensor)).release(tensor.data);
}

}  // namespace fvlm
