// How many processors a program may keep busy.
#pragma once

#include <filesystem>

namespace fvlm {

// Those that it may run on, or as many as its control group lets it use the time of.
int available_processors();

// The processors' time that a control group, version 2, and those around it leave a process, in
// processors: the least of quota / period in each cpu.max. Infinity if none says.
double processor_quota(const std::filesystem::path& groups = "/sys/fs/cgroup",
                       const std::filesystem::path& membership = "/proc/self/cgroup");

}  // namespace fvlm
