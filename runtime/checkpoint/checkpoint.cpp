// Finds the weight files of a folder and makes one set of tensors of them.
#include "runtime/checkpoint/checkpoint.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_set>
#include <utility>

#include "kernels/support/make_error.hpp"
#include "runtime/checkpoint/tensor_names.hpp"
#include "runtime/config/config_file.hpp"
#include "runtime/config/json_file.hpp"
#include "runtime/tokenizer/vocabulary.hpp"

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

// What training leaves: tensors in place of the base's, and LoRA adapters.
constexpr std::string_view kChangeFiles[] = {"mm_projector.bin", "non_lora_trainables.bin",
                                             "adapter_model.safetensors", "adapter_model.bin"};

// Unlike the plain std::filesystem::exists, never throws.
bool file_exists(const path& file) {
  std::error_code unreadable;
  return std::filesystem::exists(file, unreadable);
}

// Shard names come from a file: one that leads out of the folder or would break a message is
// refused.
bool is_plain_file_name(const std::string& name) {
  const auto is_odd = [](unsigned char c) { return c == '/' || c < ' '; };
  return !name.empty() && name != "." && name != ".." && std::ranges::none_of(name, is_odd);
}

// {tensor name: shard's file name}
std::map<std::string, std::string> read_weight_map(const path& index) {
  const nlohmann::json json = read_json_object(index);
  const auto map = json.find("weight_map");
  if (map == json.end() || !map->is_object()) {
    throw make_error("{}: missing key \"weight_map\" with an object of tensor and file names",
                     index.string());
  }
  std::map<std::string, std::string> weight_map;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string() || !is_plain_file_name(file.get_ref<const std::string&>())) {
      throw make_error("{}: tensor {}: expected the name of a file in this folder, found {}",
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
      throw make_error("{}: the file is missing, but {} lists it", (folder / name).string(),
                       index_name);
    }
    shards.push_back(open_weight_file(folder / name));
    for (const TensorView& tensor : tensors_of(shards.back())) held[name].insert(tensor.name);
  }
  for (const auto& [tensor, file] : weight_map) {
    if (!held[file].contains(tensor)) {
      throw make_error("{}: tensor {} is missing, but {} says that it is in this file",
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
  throw make_error("{}: no weights: expected {}, {} or the {} of shards", folder.string(),
                   kWeightNames[0].single, kWeightNames[1].single, kWeightNames[0].index);
}

std::span<const std::int64_t> without_ones_at_end(std::span<const std::int64_t> shape) {
  while (!shape.empty() && shape.back() == 1) shape = shape.first(shape.size() - 1);
  return shape;
}

}  // namespace

Checkpoint Checkpoint::open(const path& folder, const path& base, const ConfigWarning& warn) {
  const Adapter adapter = read_adapter(folder, warn);
  if (adapter.alpha != 0 && base.empty()) {
    throw make_error("{}: a LoRA adapter: the folder of its base is needed too (--model-base)",
                     folder.string());
  }
  std::vector<WeightFile> changes;
  for (const std::string_view name : kChangeFiles) {
    if (file_exists(folder / name)) changes.push_back(open_weight_file(folder / name));
  }
  if (!base.empty() && changes.empty()) {
    throw make_error(
        "{}: no LoRA adapter and no projector that would change the base {}; without a base it is "
        "read as a whole checkpoint (no --model-base)",
        folder.string(), base.string());
  }
  const bool has_config = base.empty() || file_exists(folder / "config.json");
  FastVlmConfig config = read_config(has_config ? folder : base, warn);
  if (!changes.empty() && config.layout != TensorLayout::kLlava) {
    throw make_error("{}: changes to weights in the fast_vlm layout; only LLaVA's is supported",
                     folder.string());
  }
  Checkpoint checkpoint(folder, std::move(config), open_weights(base.empty() ? folder : base),
                        std::move(changes), adapter);
  checkpoint.tokenizer_folder_ = !base.empty() && has_vocabulary(base) ? base : folder;
  return checkpoint;
}

Checkpoint::Checkpoint(path folder, FastVlmConfig config, std::vector<WeightFile> files,
                       std::vector<WeightFile> changes, const Adapter& adapter)
    : folder_(std::move(folder)), config_(std::move(config)), files_(std::move(files)) {
  const std::size_t whole = files_.size();
  std::ranges::move(changes, std::back_inserter(files_));
  for (std::size_t i = 0; i < whole; ++i) {
    const auto* safetensors = std::get_if<SafetensorsFile>(&files_[i]);
    folded_ = folded_ || (safetensors != nullptr && safetensors->is_ours());
    for (const TensorView& tensor : tensors_of(files_[i])) {
      const auto [existing, is_new] = by_stored_name_.emplace(tensor.name, &tensor);
      if (!is_new) {
        throw make_error("{}: tensor {} is also in {}", tensor.file, in_quotes(tensor.name),
                         existing->second->file);
      }
    }
  }
  if (folded_ && files_.size() > whole) {
    throw make_error("{}: changes on top of a converted checkpoint; give the one it was made from",
                     folder_.string());
  }
  for (std::size_t i = whole; i < files_.size(); ++i) add_changes(files_[i], adapter);
}

// Matrices A and B of an adapter, or tensors that take the place of others.
void Checkpoint::add_changes(const WeightFile& file, const Adapter& adapter) {
  for (const TensorView& tensor : tensors_of(file)) {
    const auto [name, part] = parse_adapter_name(tensor.name);
    if (part == AdapterName::Part::kOriginal) continue;
    if (part == AdapterName::Part::kWhole) {
      by_stored_name_.insert_or_assign(name, &tensor);
      continue;
    }
    const bool is_a = part == AdapterName::Part::kA;
    if (adapter.alpha == 0 || tensor.shape.size() != 2 || !by_stored_name_.contains(name)) {
      throw make_error("{}: tensor {}: no matrix that it could change, or no adapter_config.json",
                       tensor.file, in_quotes(tensor.name));
    }
    Change& change = changes_[name];
    (is_a ? change.a : change.b) = &tensor;
    if (is_a) change.scale = adapter.scale(tensor.shape[0]);
  }
}

LinearSpec Checkpoint::as_stored(const std::string& path, const LinearSpec& spec) const {
  if (!folded_) return spec;
  LinearSpec stored = folded(spec);
  for (LinearSpec::Part& part : stored.parts) {
    const TensorView* tensor = find(resolve(path, part.name) + ".weight");
    if (tensor == nullptr) continue;
    if (const auto* file = std::get_if<SafetensorsFile>(&file_of(*tensor))) {
      part.quantised = file->quantised(*tensor);
    }
  }
  return stored;
}

std::shared_ptr<const LowRank> Checkpoint::low_rank(std::string_view llava_name,
                                                    std::span<const std::int64_t> shape) const {
  const auto found = changes_.find(stored_name(llava_name));
  if (found == changes_.end()) return nullptr;
  const auto& [a, b, scale] = found->second;
  if (a == nullptr || b == nullptr || a->shape[1] != shape[1] || b->shape[0] != shape[0] ||
      a->shape[0] != b->shape[1]) {
    throw make_error("{}: the adapter's matrices for {} do not fit its shape [{}]",
                     folder_.string(), in_quotes(llava_name), fmt::join(shape, ", "));
  }
  auto change = std::make_shared<LowRank>();
  change->rank = a->shape[0];
  change->scale = scale;
  change->a.resize(static_cast<std::size_t>(a->elements()));
  change->b.resize(static_cast<std::size_t>(b->elements()));
  copy_as_float(*a, change->a);
  copy_as_float(*b, change->b);
  return change;
}

std::string Checkpoint::stored_name(std::string_view llava_name) const {
  return config_.layout == TensorLayout::kHuggingFace ? hugging_face_name(llava_name)
                                                      : std::string(llava_name);
}

const TensorView* Checkpoint::find(std::string_view llava_name) const {
  const auto found = by_stored_name_.find(stored_name(llava_name));
  return found == by_stored_name_.end() ? nullptr : found->second;
}

const TensorView& Checkpoint::require(const StoredTensor& wanted) const {
  const std::vector<std::int64_t>& shape = wanted.shape;
  const TensorView* tensor = find(wanted.name);
  if (tensor == nullptr) {
    const path& where = files_.size() == 1 ? mapped(files_.front()).path() : folder_;
    throw make_error("{}: tensor {} is missing, expected shape [{}]", where.string(),
                     in_quotes(stored_name(wanted.name)), fmt::join(shape, ", "));
  }
  if (!std::ranges::equal(without_ones_at_end(tensor->shape), without_ones_at_end(shape))) {
    throw make_error("{}: tensor {}: expected shape [{}], found [{}]", tensor->file,
                     in_quotes(tensor->name), fmt::join(shape, ", "),
                     fmt::join(tensor->shape, ", "));
  }
  const bool as_expected = wanted.quantised               ? tensor->dtype == DType::kI8
                           : wanted.role == Role::kScales ? tensor->dtype == DType::kBF16
                                                          : is_floating_point(tensor->dtype);
  if (!as_expected) {
    throw make_error("{}: tensor {}: expected {}, found {}", tensor->file, in_quotes(tensor->name),
                     wanted.quantised               ? "I8"
                     : wanted.role == Role::kScales ? "BF16"
                                                    : "F32, F16 or BF16",
                     name_of(tensor->dtype));
  }
  return *tensor;
}

std::vector<const TensorView*> Checkpoint::tensors() const {
  std::vector<const TensorView*> all;
  for (const WeightFile& file : files_) {
    for (const TensorView& tensor : tensors_of(file)) {
      const auto found = by_stored_name_.find(parse_adapter_name(tensor.name).name);
      if (found != by_stored_name_.end() && found->second == &tensor) all.push_back(&tensor);
    }
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
  const auto holds = [&](const WeightFile& file) {
    const auto& tensors = tensors_of(file);
    return &tensor >= tensors.data() && &tensor < tensors.data() + tensors.size();
  };
  return *std::ranges::find_if(files_, holds);
}

void Checkpoint::check_sum(const TensorView& tensor) const {
  std::visit([&](const auto& file) { file.check_sum(tensor); }, file_of(tensor));
}

void Checkpoint::release(const TensorView& tensor) const {
  mapped(file_of(tensor)).release(tensor.data);
}

}  // namespace fvlm
