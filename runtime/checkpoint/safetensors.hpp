// Reads .safetensors files: 8 bytes with the header's length (little-endian), a JSON header
// {name: {"dtype", "shape", "data_offsets": [begin, end]}}, then the tensors' bytes.
//
// The data is mapped, not copied. Everything the header says is checked before any of it is used:
// its size, its JSON, that each range has the size its shape and type need, and that the ranges
// cover the rest of the file exactly, without gap or overlap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fvlm/ops/weight_format.hpp"
#include "runtime/checkpoint/tensor_view.hpp"
#include "runtime/support/mapped_file.hpp"

namespace fvlm {

// Metadata of our own files: the version of what follows, the CRC-32 of the header with this value
// as "00000000", and those of the tensors' bytes under kTensorSumKey + name, all as 8 hex digits.
// A quantised matrix has I8 words [out, bytes of a row] (see ops/weight_format.hpp), BF16 scales
// [out, groups] under its name + ".scales", and, under kQuantisedKey + name, "int8 64": the type
// and the group.
inline const std::string kFormatKey = "fastvlm";
inline const std::string kFormatVersion = "1";
inline const std::string kHeaderSumKey = "header_crc32";
inline const std::string kTensorSumKey = "crc32:";
inline const std::string kQuantisedKey = "quantised:";
std::string quantised_text(const WeightFormat& format);

class SafetensorsFile {
 public:
  // Throws Error if the file breaks any rule of the format.
  static SafetensorsFile open(const std::filesystem::path& path);

  // nullptr if there is no such tensor.
  const TensorView* find(std::string_view name) const;
  // In the order of their bytes in the file.
  const std::vector<TensorView>& tensors() const { return tensors_; }
  // The header's "__metadata__"; empty if it has none.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // Whether it says that `fastvlm convert` wrote the file; then it has checksums.
  bool is_ours() const { return metadata_.contains(kFormatKey); }
  // Throws Error if the tensor's bytes do not have their checksum; other files have none.
  void check_sum(const TensorView& tensor) const;
  // How a matrix is quantised, if it is. Throws Error if the file says so in a way unknown here.
  std::optional<WeightFormat> quantised(const TensorView& tensor) const;
  const MappedFile& file() const { return *file_; }

 private:
  explicit SafetensorsFile(const std::filesystem::path& path);

  std::unique_ptr<const MappedFile> file_;
  std::vector<TensorView> tensors_;
  std::unordered_map<std::string_view, const TensorView*> by_name_;
  std::map<std::string, std::string> metadata_;
};

// The longest header that is accepted, in bytes; the format's own limit.
inline constexpr std::uint64_t kMaxSafetensorsHeader = 100'000'000;
// The header's key that is not a tensor.
inline constexpr std::string_view kSafetensorsMetadataKey = "__metadata__";

}  // namespace fvlm
