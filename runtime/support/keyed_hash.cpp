// See keyed_hash.hpp.
#include "runtime/support/keyed_hash.hpp"

#include <bit>
#include <cstddef>
#include <cstring>
#include <random>

namespace fvlm {
namespace {

static_assert(std::endian::native == std::endian::little, "words are read as they lie in memory");

// Four words that additions, rotations and exclusive ors mix. The names are the paper's.
struct State {
  std::uint64_t v0, v1, v2, v3;

  void round() {
    v0 += v1;
    v2 += v3;
    v1 = std::rotl(v1, 13) ^ v0;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 = std::rotl(v0, 32);
    v2 += v1;
    v0 += v3;
    v1 = std::rotl(v1, 17) ^ v2;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 = std::rotl(v2, 32);
  }
  void compress(std::uint64_t word) {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
  std::uint64_t finish() {
    for (int i = 0; i < 4; ++i) round();
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

HashKey random_key() {
  std::random_device device;
  const auto word = [&device] {
    const std::uint64_t high = device();
    return high << 32 | device();
  };
  return {word(), word()};
}

}  // namespace

Hash128 keyed_hash(std::span<const std::uint8_t> bytes, const HashKey& key) {
  constexpr std::size_t kWord = sizeof(std::uint64_t);
  State state{key.first ^ 0x736f6d6570736575U, key.second ^ 0x646f72616e646f6dU ^ 0xee,
              key.first ^ 0x6c7967656e657261U, key.second ^ 0x7465646279746573U};
  std::uint64_t last = static_cast<std::uint64_t>(bytes.size()) << 56;
  for (; bytes.size() >= kWord; bytes = bytes.subspan(kWord)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), kWord);
    state.compress(word);
  }
  for (std::size_t i = 0; i < bytes.size(); ++i) last |= std::uint64_t{bytes[i]} << (8 * i);
  state.compress(last);
  state.v2 ^= 0xee;
  const std::uint64_t first = state.finish();
  state.v1 ^= 0xdd;
  return {.high = state.finish(), .low = first};
}

Hash128 secret_hash(std::span<const std::uint8_t> bytes) {
  static const HashKey key = random_key();
  return keyed_hash(bytes, key);
}

}  // namespace fvlm
