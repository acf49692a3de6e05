// Files and folders that appear whole or not at all: written beside their place under a name that
// ends in ".partial", forced to disk and then renamed. A program that is killed half-way, or a full
// disk, leaves what was there as it was; the next run to the same place removes what is left over.
#pragma once

#include <filesystem>

namespace fvlm {

// Throws an Error that says why the last call of the system failed (errno).
[[noreturn]] void throw_not_writable(const std::filesystem::path& path);

// Forces a file's or folder's content to disk. Throws Error if that fails.
void sync_to_disk(const std::filesystem::path& path);

// Where the content of `path` is written until it is whole.
std::filesystem::path partial_name(std::filesystem::path path);

// Whether something is there that can be written, but neither kept nor replaced: a device, a pipe.
bool is_device(const std::filesystem::path& path);

// Throws Error if something is there already, unless `force`, if it is a folder or a device, or if
// nothing can be made there.
void require_new_file(const std::filesystem::path& path, bool force);

// Takes the place of what is at `path`, if anything is.
void put_in_place(const std::filesystem::path& partial, const std::filesystem::path& path);

// Makes the folder, and those above it, if it is not there. Throws Error if that fails.
void make_folder(const std::filesystem::path& folder);

class NewFolder {
 public:
  // Makes the folder to write in. Throws Error if `path` is a file or holds anything, unless
  // `force` and it is a checkpoint (has a config.json), which then is replaced as a whole.
  NewFolder(const std::filesystem::path& path, bool force);
  // Without finish(), removes what was written.
  ~NewFolder();
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;

  // For the files that will be in it.
  const std::filesystem::path& path() const { return partial_; }

  // Puts it in its place.
  void finish();

 private:
  std::filesystem::path target_;
  std::filesystem::path partial_;
};

}  // namespace fvlm
