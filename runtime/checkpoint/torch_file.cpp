// Both formats pickle the dictionary; they differ in where the storages' numbers are.
#include "runtime/checkpoint/torch_file.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "kernels/support/make_error.hpp"
#include "runtime/checkpoint/pickle.hpp"
#include "runtime/config/json_file.hpp"

namespace fvlm {
namespace {

using Bytes = std::span<const std::byte>;

// The pickled number with which the older format begins.
constexpr std::array<std::uint8_t, 15> kLegacyMagic = {
    0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e};

bool is_legacy(Bytes bytes) {
  return bytes.size() >= kLegacyMagic.size() &&
         std::memcmp(bytes.data(), kLegacyMagic.data(), kLegacyMagic.size()) == 0;
}

// The tensors of a pickled dictionary by name, in its order.
std::vector<std::pair<std::string, pickle::Tensor>> named_tensors(const Pickle& pickle,
                                                                  const std::string& source) {
  const auto* dict = std::get_if<pickle::Dict>(&pickle.root());
  if (dict == nullptr) throw make_error("{}: not a dictionary of tensors", source);
  std::vector<std::pair<std::string, pickle::Tensor>> tensors;
  std::set<std::string_view> seen;
  for (const auto& [key, value] : dict->items) {
    const auto* name = std::get_if<std::string_view>(&pickle[key]);
    if (name == nullptr) throw make_error("{}: a tensor whose name is not a text", source);
    const auto* tensor = std::get_if<pickle::Tensor>(&pickle[value]);
    if (tensor == nullptr) throw make_error("{}: {} is not a tensor", source, in_quotes(*name));
    if (!seen.insert(*name).second) {
      throw make_error("{}: tensor {} is there twice", source, in_quotes(*name));
    }
    tensors.emplace_back(*name, *tensor);
  }
  return tensors;
}

bool is_contiguous(const pickle::Tensor& tensor) {
  std::int64_t expected = 1;
  for (std::size_t i = tensor.shape.size(); i-- > 0;) {
    if (tensor.shape[i] != 1 && tensor.strides[i] != expected) return false;
    expected *= tensor.shape[i];
  }
  return true;
}

std::size_t element_count(const pickle::Tensor& tensor) {
  std::size_t count = 1;
  for (const std::int64_t size : tensor.shape) count *= static_cast<std::size_t>(size);
  return count;
}

// The elements of a view in C order.
std::vector<std::byte> gather(const pickle::Tensor& tensor, Bytes storage) {
  const std::size_t bytes = size_of(tensor.storage.dtype);
  std::vector<std::byte> out(element_count(tensor) * bytes);
  std::vector<std::int64_t> index(tensor.shape.size(), 0);
  for (std::size_t at = 0; at < out.size(); at += bytes) {
    std::int64_t from = tensor.offset;
    for (std::size_t d = 0; d < index.size(); ++d) from += index[d] * tensor.strides[d];
    std::memcpy(&out[at], storage.data() + static_cast<std::size_t>(from) * bytes, bytes);
    for (std::size_t d = index.size(); d-- > 0 && ++index[d] == tensor.shape[d];) index[d] = 0;
  }
  return out;
}

std::size_t bytes_of(const pickle::Storage& storage, const std::string& source) {
  const auto bytes = checked_tensor_bytes(storage.dtype, std::array{storage.elements});
  if (!bytes) throw make_error("{}: a storage of {} elements", source, storage.elements);
  return static_cast<std::size_t>(*bytes);
}

}  // namespace

TorchFile::TorchFile(const std::filesystem::path& path)
    : file_(std::make_unique<const MappedFile>(path)) {
  if (ZipArchive::is_zip(file_->bytes())) {
    archive_ = std::make_unique<const ZipArchive>(path);
    file_.reset();
    open_archive();
  } else if (is_legacy(file_->bytes())) {
    open_legacy();
  } else {
    throw make_error("{}: not a file of torch.save: neither a zip archive nor the format before it",
                     path.string());
  }
}

void TorchFile::add(const std::string& name, const pickle::Tensor& tensor, Bytes storage) {
  const std::string source = file().path().string();
  const std::size_t bytes = size_of(tensor.storage.dtype);
  const std::size_t count = element_count(tensor);
  Bytes data;
  if (count > 0 && is_contiguous(tensor)) {
    data = storage.subspan(static_cast<std::size_t>(tensor.offset) * bytes, count * bytes);
  } else if (count > 0) {
    copied_bytes_ += count * bytes;
    if (copied_bytes_ > file().bytes().size()) {
      throw make_error("{}: tensor {}: more views that are not contiguous than the file has bytes",
                       source, in_quotes(name));
    }
    copies_.push_back(gather(tensor, storage));
    data = copies_.back();
  }
  tensors_.push_back({name, tensor.storage.dtype, tensor.shape, data, source});
}

// ROOT/data.pkl is the dictionary, ROOT/data/KEY the numbers of the storage KEY.
void TorchFile::open_archive() {
  const std::string source = file().path().string();
  constexpr std::string_view kPickle = "/data.pkl";
  const auto is_pickle = [&](const ZipArchive::Entry& e) { return e.name.ends_with(kPickle); };
  const auto& entries = archive_->entries();
  const auto entry = std::ranges::find_if(entries, is_pickle);
  if (entry == entries.end() || std::count_if(entries.begin(), entries.end(), is_pickle) > 1) {
    throw make_error("{}: expected one data.pkl in the archive", source);
  }
  archive_->check_sum(*entry);
  const std::string root = entry->name.substr(0, entry->name.size() - kPickle.size());
  if (const auto* order = archive_->find(root + "/byteorder")) {
    if (std::string_view(reinterpret_cast<const char*>(order->bytes.data()), order->bytes.size()) !=
        "little") {
      throw make_error("{}: its numbers are not little-endian", source);
    }
  }

  const Pickle pickle = Pickle::read(entry->bytes, source + ": " + entry->name);
  for (const auto& [name, tensor] : named_tensors(pickle, source)) {
    const std::string key = root + "/data/" + std::string(tensor.storage.key);
    const ZipArchive::Entry* storage = archive_->find(key);
    if (storage == nullptr) {
      throw make_error("{}: tensor {}: {} is missing in the archive", source, in_quotes(name),
                       in_quotes(key));
    }
    if (storage->bytes.size() != bytes_of(tensor.storage, source)) {
      throw make_error("{}: tensor {}: its storage has {} bytes, {} of {} expected", source,
                       in_quotes(name), storage->bytes.size(), tensor.storage.elements,
                       name_of(tensor.storage.dtype));
    }
    add(name, tensor, storage->bytes);
    storages_.push_back(storage);
  }
}

// Pickles: magic number, version, {"little_endian": ...}, the dictionary, the storages' keys. Then
// for each key the number of elements in 8 bytes and the elements.
void TorchFile::open_legacy() {
  const std::string source = file().path().string();
  Bytes rest = file_->bytes().subspan(kLegacyMagic.size());
  const auto next = [&](const char* what) {
    Pickle pickle = Pickle::read(rest, source + ": " + what);
    rest = rest.subspan(pickle.length());
    return pickle;
  };
  constexpr std::int64_t kVersion = 1001;
  const Pickle version = next("version");
  const auto* number = std::get_if<std::int64_t>(&version.root());
  if (number == nullptr || *number != kVersion) {
    throw make_error("{}: not the version {} of torch.save's older format", source, kVersion);
  }
  const Pickle system = next("system");
  const auto* properties = std::get_if<pickle::Dict>(&system.root());
  const bool little =
      properties != nullptr && std::ranges::any_of(properties->items, [&](const auto& item) {
        const auto* key = std::get_if<std::string_view>(&system[item.first]);
        const auto* value = std::get_if<bool>(&system[item.second]);
        return key != nullptr && *key == "little_endian" && value != nullptr && *value;
      });
  if (!little) throw make_error("{}: its numbers are not little-endian", source);

  const Pickle dictionary = next("dictionary");
  const auto named = named_tensors(dictionary, source);
  std::map<std::string_view, pickle::Storage> wanted;
  for (const auto& [name, tensor] : named) {
    const auto& storage = tensor.storage;
    const auto [known, is_new] = wanted.emplace(storage.key, storage);
    if (!is_new &&
        (known->second.dtype != storage.dtype || known->second.elements != storage.elements)) {
      throw make_error("{}: tensor {}: its storage has two sizes", source, in_quotes(name));
    }
  }

  const Pickle keys = next("storages");
  const auto* list = std::get_if<pickle::List>(&keys.root());
  if (list == nullptr) throw make_error("{}: the list of storages is missing", source);
  std::map<std::string_view, Bytes> storages;
  for (const pickle::Node node : list->items) {
    const auto* key = std::get_if<std::string_view>(&keys[node]);
    const auto found = key == nullptr ? wanted.end() : wanted.find(*key);
    if (found == wanted.end() || storages.contains(found->first)) {
      throw make_error("{}: a storage that no tensor has, or one twice", source);
    }
    std::int64_t elements = 0;
    const std::size_t bytes = bytes_of(found->second, source);
    if (rest.size() < sizeof(elements)) throw make_error("{}: the file is cut short", source);
    std::memcpy(&elements, rest.data(), sizeof(elements));
    rest = rest.subspan(sizeof(elements));
    if (elements != found->second.elements) {
      throw make_error("{}: storage {} has {} elements, expected {}", source, in_quotes(*key),
                       elements, found->second.elements);
    }
    if (rest.size() < bytes) {
      throw make_error("{}: the file is cut short: storage {} needs {} bytes, {} are left", source,
                       in_quotes(*key), bytes, rest.size());
    }
    storages.emplace(found->first, rest.first(bytes));
    rest = rest.subspan(bytes);
  }
  if (!rest.empty()) throw make_error("{}: {} bytes after the last storage", source, rest.size());

  for (const auto& [name, tensor] : named) {
    const auto storage = storages.find(tensor.storage.key);
    if (storage == storages.end()) {
      throw make_error("{}: tensor {}: its storage is missing", source, in_quotes(name));
    }
    add(name, tensor, storage->second);
  }
}

void TorchFile::check_sum(const TensorView& tensor) const {
  if (!archive_) return;
  archive_->check_sum(*storages_[static_cast<std::size_t>(&tensor - tensors_.data())]);
}

}  // namespace fvlm
