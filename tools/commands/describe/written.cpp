#include "tools/commands/describe/written.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <system_error>

#include "tools/commands/shared/terminal.hpp"

namespace fvlm {
namespace {

namespace fs = std::filesystem;

std::uintmax_t bytes_of(const fs::path& path) {
  std::error_code none;
  if (!fs::is_directory(path, none)) return fs::file_size(path, none);
  std::uintmax_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(path, none)) bytes += entry.file_size(none);
  return bytes;
}

}  // namespace

void Writing::print_done() const {
  const auto bytes = static_cast<double>(bytes_of(path_));
  const bool is_small = bytes < 1e6;
  print_detail(fmt::format("wrote {}: {:.1f} {} in {:.2f} s", path_.string(),
                           bytes / (is_small ? 1e3 : 1e6), is_small ? "KB" : "MB",
                           passed_.seconds()));
}

}  // namespace fvlm
