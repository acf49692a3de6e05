// What the tests of the emulator share: running a kernel, and what it throws.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "fvlm/error.hpp"
#include "kernels/cuda/primitives/launch.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/stream.hpp"

namespace fvlm::emulated {

// Runs a kernel over `grid` blocks of `block` threads.
template <auto kernel, class... Arguments>
void run(const Extent& grid, std::int64_t block, std::size_t shared_bytes, Arguments... arguments) {
  Stream<kTarget> stream;
  launch<kernel>(
      Launch{.grid = grid, .block = block, .shared_bytes = shared_bytes, .stream = stream},
      arguments...);
}

// What the launch throws.
template <auto kernel, class... Arguments>
std::string failure(const Extent& grid, std::int64_t block, std::size_t shared_bytes,
                    Arguments... arguments) {
  try {
    run<kernel>(grid, block, shared_bytes, arguments...);
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

inline void expect_in_order(const std::string& text, const std::vector<std::string>& parts) {
  std::size_t at = 0;
  for (const std::string& part : parts) {
    at = text.find(part, at);
    ASSERT_NE(at, std::string::npos) << '"' << part << "\" is missing in: " << text;
  }
}

}  // namespace fvlm::emulated
