// The POSIX calls behind MappedFile: open, fstat, mmap, madvise.
#include "runtime/support/mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

#include "kernels/support/make_error.hpp"

namespace fvlm {
namespace {

// An open file descriptor, closed at the end of its scope. The mapping outlives it.
class Descriptor {
 public:
  // O_NONBLOCK: a named pipe must not make open wait for a writer.
  explicit Descriptor(const char* path) : fd_(::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return fd_; }

 private:
  int fd_;
};

[[noreturn]] void fail(const std::filesystem::path& path) {
  throw make_error("{}: cannot be read: {}", path.string(), std::generic_category().message(errno));
}

}  // namespace

MappedFile::MappedFile(std::filesystem::path path) : path_(std::move(path)) {
  const Descriptor file(path_.c_str());
  if (file.get() < 0) fail(path_);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) fail(path_);
  if (!S_ISREG(status.st_mode)) throw make_error("{}: expected a regular file", path_.string());
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size == 0) return;  // mmap refuses a length of zero
  void* start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (start == MAP_FAILED) fail(path_);
  bytes_ = {static_cast<const std::byte*>(start), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void MappedFile::release(std::span<const std::byte> range) const {
  // Discarding what is not the file's would lose it.
  if (range.data() < bytes_.data() || range.data() + range.size() > bytes_.data() + bytes_.size()) {
    return;
  }
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto start = reinterpret_cast<std::uintptr_t>(range.data());
  const std::uintptr_t first = (start + page - 1) / page * page;
  const std::uintptr_t last = (start + range.size()) / page * page;
  // Advice only: if the kernel declines it, nothing but memory is lost.
  if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace fvlm
