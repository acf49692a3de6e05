// The one exception type for wrong files, wrong settings and failed systems. The message is one
// line that names the file (and tensor), what was expected, and what was found.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace fvlm {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;

  // Error("{}: expected {} bytes", path, n): a message in fmt's format.
  template <class... Args>
  explicit Error(fmt::format_string<Args...> format, Args&&... args) requires(sizeof...(Args) > 0)
      : std::runtime_error(fmt::format(format, std::forward<Args>(args)...)) {}
};

}  // namespace fvlm
