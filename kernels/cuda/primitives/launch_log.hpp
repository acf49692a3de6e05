// Which kernels a thread launches, for benchmarks that say what they measure: launch() reports each
// by name to the log that lives on its thread, if one does.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fvlm {

class LaunchLog {
 public:
  LaunchLog() : before_(std::exchange(current_, this)) {}
  ~LaunchLog() { current_ = before_; }
  LaunchLog(const LaunchLog&) = delete;
  LaunchLog& operator=(const LaunchLog&) = delete;

  // As kernel_name() has them, in order.
  const std::vector<std::string>& kernels() const { return kernels_; }

  static bool is_on() { return current_ != nullptr; }
  static void add(std::string_view kernel) { current_->kernels_.emplace_back(kernel); }

 private:
  inline static thread_local LaunchLog* current_ = nullptr;

  LaunchLog* before_;
  std::vector<std::string> kernels_;
};

// "tile_product<TileShape<128, 64, 32, 4, 2, 2>>" of a kernel's full name: without namespaces, and
// of many template arguments the first alone, the tile of a GEMM.
inline std::string short_kernel_name(std::string_view full) {
  constexpr std::size_t kMostArguments = 40;  // characters
  const auto is_name = [](char c) {
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  std::string name;
  for (const char c : full) {
    name += c;
    if (!name.ends_with("::")) continue;
    name.resize(name.size() - 2);
    if (name.ends_with('}') || name.ends_with(')')) {  // of an unnamed namespace
      name.resize(std::min(name.find_last_of("{("), name.size()));
    }
    while (!name.empty() && is_name(name.back())) name.pop_back();
  }
  const std::size_t open = name.find('<');
  if (open == std::string::npos || name.size() - open <= kMostArguments) return name;
  int depth = 0;
  for (std::size_t i = open + 1; i < name.size(); ++i) {
    if (name[i] == '<') ++depth;
    if (name[i] == '>') --depth;
    if (depth == 0 && name[i] == ',') return name.substr(0, i) + ">";
  }
  return name;
}

}  // namespace fvlm
