// A collision-resistant hash of untrusted bytes: SipHash-2-4 with 128 bits of result (Aumasson and
// Bernstein, "SipHash: a fast short-input PRF", 2012, and their reference code for the longer
// result). The threat is a client that crafts two images of one hash, to poison the prefix cache of
// others. Without the key it cannot search offline; by chance it takes 2^64 requests. About 2 GB/s.
#pragma once

#include <cstdint>
#include <span>

#include "fvlm/core/hash.hpp"

namespace fvlm {

struct HashKey {
  std::uint64_t first = 0;
  std::uint64_t second = 0;
};

Hash128 keyed_hash(std::span<const std::uint8_t> bytes, const HashKey& key);

// With a secret key that this process has drawn from the system's random number generator.
Hash128 secret_hash(std::span<const std::uint8_t> bytes);

}  // namespace fvlm
