#include "net/process/prometheus.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

namespace fvlm::prometheus {

std::int64_t resident_bytes() {
  std::int64_t total = 0;
  std::int64_t resident = 0;  // in pages
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

std::int64_t open_descriptors() {
  std::error_code error;
  const std::filesystem::directory_iterator open("/proc/self/fd", error);
  return error ? 0 : std::distance(begin(open), end(open)) - 1;  // without the folder's own
}

}  // namespace fvlm::prometheus
