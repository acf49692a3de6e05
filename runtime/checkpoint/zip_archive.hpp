// The zip archives that torch.save writes: files stored one after the other, without compression,
// so that their bytes can be used where the archive is mapped.
//
// libzip reads the directory and compares it with the header before each file. What it leaves open
// is checked here: where the bytes lie, that no two files share any, names, and checksums.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/support/mapped_file.hpp"

namespace fvlm {

class ZipArchive {
 public:
  struct Entry {
    std::string name;
    std::span<const std::byte> bytes;
    std::uint32_t crc = 0;
  };

  // Whether the file begins as a zip archive does.
  static bool is_zip(std::span<const std::byte> bytes);

  // Throws Error naming the file, and the entry where it is one, if the archive is damaged or holds
  // anything compressed, encrypted, named twice or overlapping.
  explicit ZipArchive(const std::filesystem::path& path);

  const std::vector<Entry>& entries() const { return entries_; }
  // nullptr if there is no such file.
  const Entry* find(std::string_view name) const;
  // Reads all bytes of an entry; throws Error if they do not have the checksum of the directory.
  void check_sum(const Entry& entry) const;
  const MappedFile& file() const { return *file_; }

 private:
  std::unique_ptr<const MappedFile> file_;
  std::vector<Entry> entries_;  // by name
};

}  // namespace fvlm
