#include "net/process/prometheus.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <system_error>

namespace fvlm::prometheus {

namespace {

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Since 1970: when the machine started, and the clock ticks from there.
double start_seconds() {
  std::ifstream machine("/proc/stat");
  double boot = 0;
  for (std::string word; machine >> word;) {
    if (word == "btime") {
      machine >> boot;
      break;
    }
  }
  std::string process;
  std::getline(std::ifstream("/proc/self/stat"), process);
  // The second field, the program's name in brackets, may hold spaces; the start is the 22nd.
  const std::size_t name_end = process.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(process.substr(name_end + 1));
  std::string skipped;
  for (int field = 3; field < 22; ++field) fields >> skipped;
  double ticks = 0;
  fields >> ticks;
  return boot + ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

std::string most_descriptors() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur == RLIM_INFINITY ? "+Inf" : std::to_string(limit.rlim_cur);
}

}  // namespace

std::string escaped(std::string_view value) {
  std::string text;
  for (const char c : value) {
    if (c == '\n') {
      text += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') text += '\\';
    text += c;
  }
  return text;
}

std::string process_text() {
  static const double start = start_seconds();
  return counter("process_cpu_seconds_total", "Processor time, of the user and the system.",
                 cpu_seconds()) +
         gauge("process_resident_memory_bytes", "Resident memory size.", resident_bytes()) +
         gauge("process_start_time_seconds", "When the process started, since 1970.",
               fmt::format("{:.2f}", start)) +
         gauge("process_open_fds", "Open file descriptors.", open_descriptors()) +
         gauge("process_max_fds", "Limit of open file descriptors.", most_descriptors());
}

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
