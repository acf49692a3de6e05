// A hash of bytes that strangers choose, where equal hashes must mean equal bytes: SipHash-2-4 with
// 128 bits of result (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012, and their
// reference code for the longer result). Without the key nobody can look for two pictures of one
// hash; by chance they take 2^64 tries, each of them a request. About 2 GB/s.
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

// With a key that this process has drawn from the system's source of randomness and tells nobody.
Hash128 secret_hash(std::span<const std::uint8_t> bytes);

}  // namespace fvlm
