// An Error whose message is formatted by {fmt}, which the public headers do without.
#pragma once

#include <fmt/format.h>

#include <utility>

#include "fvlm/error.hpp"

namespace fvlm {

// throw make_error("{}: expected {} bytes", path, n);
template <class... Args>
Error make_error(fmt::format_string<Args...> format, Args&&... args) {
  return Error(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace fvlm
