// A file's bytes in memory without a copy: mapped read-only, read from disk page by page as they
// are touched. Checkpoints are as large as memory, so pages that were used can be given back.
//
// A file that another program shortens while it is mapped ends this one (SIGBUS): no check can
// prevent that, so checkpoints are replaced by renaming, as SafetensorsWriter does.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace fvlm {

class MappedFile {
 public:
  // Throws Error if `path` is not a regular file that can be read.
  explicit MappedFile(std::filesystem::path path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  // Valid as long as this object; empty for an empty file.
  std::span<const std::byte> bytes() const { return bytes_; }

  // Takes the whole pages inside `range`, a part of bytes(), out of this process's memory. The
  // bytes stay readable: touching them again reads the file again. Other ranges are left alone.
  void release(std::span<const std::byte> range) const;

 private:
  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

}  // namespace fvlm
