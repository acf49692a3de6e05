#include "kernels/support/processors.hpp"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>
#include <thread>

namespace fvlm {

double processor_quota(const std::filesystem::path& groups,
                       const std::filesystem::path& membership) {
  constexpr std::string_view kVersion2 = "0::/";
  double least = std::numeric_limits<double>::infinity();
  std::ifstream memberships(membership);
  std::string line;
  while (std::getline(memberships, line) && !line.starts_with(kVersion2)) {
  }
  if (!memberships) return least;
  std::filesystem::path group = line.substr(kVersion2.size());
  while (true) {
    std::ifstream limit(groups / group / "cpu.max");
    double quota = 0;
    double period = 0;
    if (limit >> quota >> period && period > 0)
      least = std::min(least, quota / period);  // not of "max"
    if (group.empty()) return least;
    group = group.parent_path();
  }
}

int available_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int count = sched_getaffinity(0, sizeof(set), &set) == 0
                        ? CPU_COUNT(&set)
                        : static_cast<int>(std::thread::hardware_concurrency());  // more than 1024
  return std::max(1, static_cast<int>(std::min<double>(count, std::ceil(processor_quota()))));
}

}  // namespace fvlm
