// The safetensors reader. A header entry is trusted only after every check below.
#include "runtime/checkpoint/safetensors.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <utility>

#include "kernels/support/make_error.hpp"
#include "runtime/config/json_file.hpp"
#include "runtime/support/checksum.hpp"

namespace fvlm {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little,
              "safetensors data is little-endian and is used where it lies");

namespace {

constexpr std::size_t kLengthBytes = sizeof(std::uint64_t);

constexpr DType kDTypes[] = {DType::kF64, DType::kF32, DType::kF16, DType::kBF16, DType::kI64,
                             DType::kI32, DType::kI16, DType::kI8,  DType::kU8,   DType::kBool};

// The header's text and the bytes after it.
struct Sections {
  std::string_view header;
  std::span<const std::byte> data;
};

Sections split(const MappedFile& file) {
  const auto bytes = file.bytes();
  const std::string path = file.path().string();
  if (bytes.size() < kLengthBytes) {
    throw make_error("{}: not a safetensors file: {} bytes, expected at least {}", path,
                     bytes.size(), kLengthBytes);
  }
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kLengthBytes);
  const auto rest = bytes.subspan(kLengthBytes);
  if (length > kMaxSafetensorsHeader) {
    throw make_error("{}: not a safetensors file: header of {} bytes, expected at most {}", path,
                     length, kMaxSafetensorsHeader);
  }
  if (length > rest.size()) {
    throw make_error("{}: the file is cut short: header of {} bytes, but only {} follow", path,
                     length, rest.size());
  }
  const auto header = rest.first(static_cast<std::size_t>(length));
  return {{reinterpret_cast<const char*>(header.data()), header.size()},
          rest.subspan(header.size())};
}

std::map<std::string, std::string> read_metadata(const json& object, const std::string& source) {
  if (object.is_null()) return {};  // as some writers have it
  if (!object.is_object()) {
    throw make_error("{}: \"{}\": expected an object, found {}", source, kSafetensorsMetadataKey,
                     object.type_name());
  }
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : object.items()) {
    if (!value.is_string()) {
      throw make_error("{}: \"{}\": {}: expected a string, found {}", source,
                       kSafetensorsMetadataKey, in_quotes(key), value.type_name());
    }
    metadata.emplace(key, value.get<std::string>());
  }
  return metadata;
}

// One entry of the header: {"dtype": ..., "shape": ..., "data_offsets": ...}.
class Entry {
 public:
  Entry(const std::string& path, const std::string& name, const json& value)
      : what_(fmt::format("{}: tensor {}", path, in_quotes(name))), value_(value) {
    constexpr std::size_t kKeys = 3;
    if (!value.is_object() || value.size() != kKeys || !value.contains("dtype") ||
        !value.contains("shape") || !value.contains("data_offsets")) {
      throw make_error("{}: expected an object of \"dtype\", \"shape\" and \"data_offsets\"",
                       what_);
    }
  }

  DType dtype() const {
    const json& name = value_["dtype"];
    if (!name.is_string()) throw make_error("{}: \"dtype\" is not a string", what_);
    const auto& text = name.get_ref<const std::string&>();
    const auto* found =
        std::ranges::find_if(kDTypes, [&](DType type) { return name_of(type) == text; });
    if (found == std::ranges::end(kDTypes)) {
      throw make_error("{}: unknown dtype {}, expected F32, F16 or BF16", what_, in_quotes(text));
    }
    return *found;
  }

  std::vector<std::int64_t> shape() const {
    const json& sizes = value_["shape"];
    if (!sizes.is_array()) throw make_error("{}: \"shape\" is not an array", what_);
    std::vector<std::int64_t> shape;
    for (const json& size : sizes) shape.push_back(static_cast<std::int64_t>(natural(size)));
    return shape;
  }

  // [begin, end) in the data section.
  std::pair<std::uint64_t, std::uint64_t> range(DType type,
                                                std::span<const std::int64_t> shape) const {
    const json& offsets = value_["data_offsets"];
    if (!offsets.is_array() || offsets.size() != 2) {
      throw make_error("{}: \"data_offsets\" is not an array of two numbers", what_);
    }
    const std::uint64_t begin = natural(offsets[0]);
    const std::uint64_t end = natural(offsets[1]);
    if (end < begin)
      throw make_error("{}: its data ends at {}, before it begins at {}", what_, end, begin);
    const auto expected = checked_tensor_bytes(type, shape);
    if (!expected || *expected != end - begin) {
      throw make_error("{}: shape [{}] of {} needs {} bytes, found {}", what_,
                       fmt::join(shape, ", "), name_of(type),
                       expected ? std::to_string(*expected) : "too many", end - begin);
    }
    return {begin, end};
  }

 private:
  std::uint64_t natural(const json& number) const {
    constexpr std::uint64_t kMax = std::numeric_limits<std::int64_t>::max();
    if (!number.is_number_unsigned() || number.get<std::uint64_t>() > kMax) {
      throw make_error("{}: expected sizes and offsets that are whole numbers, found {}", what_,
                       in_quotes(number.dump(-1, ' ', true)));
    }
    return number.get<std::uint64_t>();
  }

  std::string what_;
  const json& value_;
};

struct Placed {
  TensorView tensor;
  std::uint64_t begin;
  std::uint64_t end;
};

// The ranges, sorted, must follow one another from 0 to the end of the file.
void check_tiling(const std::vector<Placed>& sorted, std::uint64_t data_bytes,
                  const std::string& path) {
  std::uint64_t at = 0;
  for (const Placed& placed : sorted) {
    if (placed.begin != at) {
      throw make_error(
          "{}: tensor {}: its data begins at {}, {} at {}", path, in_quotes(placed.tensor.name),
          placed.begin,
          placed.begin < at ? "inside another tensor that ends" : "after a gap that starts", at);
    }
    if (placed.end > data_bytes) {
      throw make_error("{}: the file is cut short: tensor {} ends at {} of {} bytes of data", path,
                       in_quotes(placed.tensor.name), placed.end, data_bytes);
    }
    at = placed.end;
  }
  if (at != data_bytes) {
    throw make_error("{}: {} bytes of data, but its tensors end at {}", path, data_bytes, at);
  }
}

// A file of ours has a version and a checksum of its header; a file with one of them is damaged.
void check_our_header(std::string_view header, const std::map<std::string, std::string>& metadata,
                      const std::string& path) {
  const auto version = metadata.find(kFormatKey);
  const auto sum = metadata.find(kHeaderSumKey);
  if (version == metadata.end() && sum == metadata.end()) return;
  if (version == metadata.end() || sum == metadata.end()) {
    throw make_error("{}: damaged header: \"{}\" without \"{}\"", path,
                     version == metadata.end() ? kHeaderSumKey : kFormatKey,
                     version == metadata.end() ? kFormatKey : kHeaderSumKey);
  }
  std::string text(header);
  const std::string field = fmt::format("\"{}\":\"", kHeaderSumKey);
  const std::size_t at = text.find(field);
  if (at == std::string::npos || sum->second.size() != kNoSum.size()) {
    throw make_error("{}: damaged header: its checksum is not where it should be", path);
  }
  text.replace(at + field.size(), kNoSum.size(), kNoSum);
  if (const std::string found = crc32_digits(std::as_bytes(std::span(text)));
      found != sum->second) {
    throw make_error("{}: damaged header: its checksum is {}, expected {}", path, found,
                     sum->second);
  }
  if (version->second != kFormatVersion) {
    throw make_error("{}: version {} of fastvlm's format, expected {}; a newer fastvlm reads it",
                     path, in_quotes(version->second), kFormatVersion);
  }
}

}  // namespace

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  return SafetensorsFile(path);
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : file_(std::make_unique<const MappedFile>(path)) {
  const std::string file = path.string();
  const Sections sections = split(*file_);
  const json header = parse_json_object(sections.header, file + ": header");

  std::vector<Placed> placed;
  placed.reserve(header.size());
  for (const auto& [name, value] : header.items()) {
    if (name == kSafetensorsMetadataKey) {
      metadata_ = read_metadata(value, file);
      continue;
    }
    const Entry entry(file, name, value);
    TensorView tensor{name, entry.dtype(), entry.shape(), {}, file};
    const auto [begin, end] = entry.range(tensor.dtype, tensor.shape);
    placed.push_back({std::move(tensor), begin, end});
  }
  check_our_header(sections.header, metadata_, file);
  std::ranges::sort(placed, {}, [](const Placed& p) { return std::pair(p.begin, p.end); });
  check_tiling(placed, sections.data.size(), file);

  tensors_.reserve(placed.size());  // by_name_ points into it
  for (Placed& p : placed) {
    p.tensor.data = sections.data.subspan(p.begin, p.end - p.begin);
    const TensorView& tensor = tensors_.emplace_back(std::move(p.tensor));
    by_name_.emplace(tensor.name, &tensor);
  }
}

const TensorView* SafetensorsFile::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

void SafetensorsFile::check_sum(const TensorView& tensor) const {
  if (!is_ours()) return;
  const auto sum = metadata_.find(kTensorSumKey + tensor.name);
  const std::string found = crc32_digits(tensor.data);
  if (sum == metadata_.end() || sum->second != found) {
    throw make_error("{}: tensor {}: its bytes have the checksum {}, expected {}", tensor.file,
                     in_quotes(tensor.name), found, sum == metadata_.end() ? "one" : sum->second);
  }
}

std::optional<WeightFormat> SafetensorsFile::quantised(const TensorView& tensor) const {
  const auto found = metadata_.find(kQuantisedKey + tensor.name);
  if (found == metadata_.end()) return std::nullopt;
  for (const WeightFormat::Type type : WeightFormat::kQuantised) {
    for (const int group : WeightFormat::kGroups) {
      if (quantised_text({type, group}) == found->second) return WeightFormat{type, group};
    }
  }
  throw make_error("{}: tensor {}: quantised as {}, which this version does not know", tensor.file,
                   in_quotes(tensor.name), in_quotes(found->second));
}

std::string quantised_text(const WeightFormat& format) {
  return fmt::format("{} {}", name_of(format.type), format.group);
}

}  // namespace fvlm
