// A hash of content, as long as names of it must be to stand for it.
#pragma once

#include <cstdint>

namespace fvlm {

struct Hash128 {
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  bool operator==(const Hash128&) const = default;
};

}  // namespace fvlm
