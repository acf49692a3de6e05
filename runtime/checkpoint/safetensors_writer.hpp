// Writes .safetensors files of any size with little memory: the header first, since every name and
// shape is known, then the tensors' bytes piece by piece in the same order.
//
// The bytes go to FILE.partial, which finish() forces to disk and renames to FILE: a program that
// is killed half-way leaves FILE as it was.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "fvlm/core/element.hpp"

namespace fvlm {

struct TensorHeader {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
};

class SafetensorsWriter {
 public:
  // Opens FILE.partial and writes the header. Metadata with kFormatKey makes it a file of our own
  // format, which gets checksums. Throws Error if the file cannot be written, a name occurs twice,
  // or a shape is negative or too large.
  SafetensorsWriter(std::filesystem::path path, std::vector<TensorHeader> tensors,
                    std::map<std::string, std::string> metadata = {});
  // Without finish(), removes FILE.partial.
  ~SafetensorsWriter();
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  // The next bytes of the current tensor, in C order and little-endian; after its last byte the
  // next tensor is current. Throws Error if they are more than the tensor has left.
  void write(std::span<const std::byte> bytes);

  // Renames FILE.partial to FILE. Throws Error if a tensor is not complete.
  void finish();

 private:
  struct Pending {
    std::string name;
    std::uint64_t bytes_left;
    std::uint32_t sum = 0;
  };

  void write_sums();
  void write_raw(const void* data, std::size_t size);
  void skip_complete();

  std::filesystem::path path_;
  std::filesystem::path partial_;
  std::vector<Pending> pending_;
  std::size_t current_ = 0;
  nlohmann::json header_;
  std::size_t header_bytes_ = 0;
  bool has_sums_ = false;
  int fd_ = -1;
};

}  // namespace fvlm
