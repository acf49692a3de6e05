#include "runtime/support/new_files.hpp"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "kernels/support/make_error.hpp"

namespace fvlm {
namespace {

namespace fs = std::filesystem;

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// "models/new/" and "." -> what can be renamed.
fs::path plain(const fs::path& path) {
  const fs::path whole = fs::absolute(path).lexically_normal();
  return whole.has_filename() ? whole : whole.parent_path();
}

// A folder can be renamed within its file system only.
bool is_mount_point(const fs::path& folder) {
  struct stat inside = {};
  struct stat outside = {};
  return ::stat(folder.c_str(), &inside) == 0 && ::stat(folder_of(folder).c_str(), &outside) == 0 &&
         inside.st_dev != outside.st_dev;
}

void check_target(const fs::path& target, bool force) {
  std::error_code error;
  if (!fs::exists(target, error)) return;
  if (!fs::is_directory(target, error)) {
    throw make_error("{}: is a file, expected a folder", target.string());
  }
  if (is_mount_point(target)) {
    throw make_error("{}: is a mount point; choose a folder inside it", target.string());
  }
  if (fs::is_empty(target, error) && !error) return;
  if (!force) {
    throw make_error("{}: holds files already; choose another folder, or replace it with --force",
                     target.string());
  }
  if (!fs::exists(target / "config.json", error)) {
    throw make_error("{}: holds files, but no config.json; --force replaces checkpoints only",
                     target.string());
  }
}

}  // namespace

void throw_not_writable(const fs::path& path) {
  throw make_error("{}: cannot be written: {}", path.string(),
                   std::generic_category().message(errno));
}

void sync_to_disk(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw_not_writable(path);
  const int synced = ::fsync(fd);
  const int reason = errno;
  ::close(fd);
  errno = reason;
  if (synced != 0 && reason != EINVAL) throw_not_writable(path);  // EINVAL: a device, a pipe
}

fs::path partial_name(fs::path path) {
  path += ".partial";
  return path;
}

bool is_device(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  return fs::exists(status) && !fs::is_regular_file(status) && !fs::is_directory(status);
}

void require_new_file(const fs::path& path, bool force) {
  std::error_code error;
  const auto status = fs::status(path, error);
  if (fs::is_directory(status)) throw make_error("{}: is a folder, expected a file", path.string());
  if (fs::is_regular_file(status) && !force) {
    throw make_error("{}: is there already; choose another name, or replace it with --force",
                     path.string());
  }
  if (is_device(path)) throw make_error("{}: is a device, expected a file", path.string());
  const fs::path folder = folder_of(path);
  if (!fs::is_directory(folder, error)) {
    throw make_error("{}: there is no folder {}; make it first", path.string(), folder.string());
  }
  if (::access(folder.c_str(), W_OK | X_OK) != 0) throw_not_writable(path);
}

void put_in_place(const fs::path& partial, const fs::path& path) {
  // An older folder that holds something can only be exchanged, and then be removed.
  std::error_code error;
  if (fs::is_directory(path, error) && !fs::is_empty(path, error)) {
    if (::renameat2(AT_FDCWD, partial.c_str(), AT_FDCWD, path.c_str(), RENAME_EXCHANGE) != 0) {
      throw_not_writable(path);
    }
    fs::remove_all(partial, error);
  } else if (::rename(partial.c_str(), path.c_str()) != 0) {
    throw_not_writable(path);
  }
  sync_to_disk(folder_of(path));
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error || !fs::is_directory(folder, error)) {
    throw make_error("{}: the folder cannot be made: {}", folder.string(),
                     error ? error.message() : "a file has its name");
  }
}

NewFolder::NewFolder(const fs::path& path, bool force)
    : target_(plain(path)), partial_(partial_name(target_)) {
  check_target(target_, force);
  std::error_code error;
  fs::remove_all(partial_, error);  // of a run that was killed
  fs::create_directories(partial_, error);
  if (error) throw make_error("{}: cannot be made: {}", target_.string(), error.message());
}

NewFolder::~NewFolder() {
  std::error_code ignored;
  if (!partial_.empty()) fs::remove_all(partial_, ignored);
}

void NewFolder::finish() {
  for (const fs::directory_entry& file : fs::directory_iterator(partial_)) {
    sync_to_disk(file.path());
  }
  sync_to_disk(partial_);
  put_in_place(partial_, target_);
  partial_.clear();
}

}  // namespace fvlm
