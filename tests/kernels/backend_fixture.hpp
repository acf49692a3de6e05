// What the tests of backends share: random parameters, views of vectors, watched scratch memory.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <list>
#include <random>
#include <vector>

#include "fvlm/core/arena.hpp"
#include "fvlm/core/buffer.hpp"
#include "fvlm/core/view.hpp"
#include "fvlm/ops/host_weights.hpp"
#include "fvlm/ops/spec.hpp"

namespace fvlm {

class RandomParameters {
 protected:
  std::vector<float> random(std::int64_t count, float scale = 1) {
    std::vector<float> values(static_cast<std::size_t>(count));
    std::normal_distribution<float> normal(0, scale);
    for (float& v : values) v = normal(random_);
    return values;
  }

  // A host matrix whose values live as long as the test.
  HostLinear host_linear(const LinearSpec& spec) {
    auto& weight = kept_.emplace_back(
        random(spec.out() * spec.in, 1 / std::sqrt(static_cast<float>(spec.in))));
    HostLinear host{.out = spec.out(), .in = spec.in};
    host.blocks.push_back(
        {DType::kF32, reinterpret_cast<const std::byte*>(weight.data()), spec.out()});
    if (spec.bias) host.bias = random(spec.out());
    return host;
  }
  HostDepthwise host_depthwise(const DepthwiseSpec& spec) {
    return {random(spec.kernel * spec.kernel * spec.out(), 1 / static_cast<float>(spec.kernel)),
            random(spec.out())};
  }
  HostNorm host_norm(const NormSpec& spec) {
    return {random(spec.channels), spec.bias ? random(spec.channels) : std::vector<float>{}};
  }

  std::mt19937 random_{7};

 private:
  std::list<std::vector<float>> kept_;
};

// Memory of an arena that shows whether anything was written beyond what was allocated.
template <class Memory = Buffer>
class WatchedMemory {
 public:
  explicit WatchedMemory(std::size_t bytes) : memory_(bytes) {
    std::memset(first(), kPaint, memory_.bytes());
  }

  Arena arena() { return {first(), memory_.bytes()}; }
  // Once all work on the arena is done.
  void expect_untouched_beyond(const Arena& arena) const {
    const std::byte* const unused = first() + arena.high_water();
    const std::size_t bytes = memory_.bytes() - arena.high_water();
    EXPECT_TRUE(bytes == 0 || (std::to_integer<int>(*unused) == kPaint &&
                               std::memcmp(unused, unused + 1, bytes - 1) == 0))
        << "scratch memory was written that nobody had allocated";
  }

 private:
  static constexpr int kPaint = 0xA5;

  std::byte* first() const { return memory_.template as<std::byte>(); }

  Memory memory_;
};

// |got - want| / |want|; NaN if there is one.
template <class E, class Memory>
double relative_error(const std::vector<E, Memory>& got, const std::vector<float>& want) {
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double g = static_cast<float>(got[i]);
    difference += (g - want[i]) * (g - want[i]);
    norm += double{want[i]} * want[i];
  }
  return std::sqrt(difference / norm);
}

inline std::vector<float> filled(std::int64_t count, float value = std::nanf("")) {
  return std::vector<float>(static_cast<std::size_t>(count), value);
}

template <class E, class Memory>
View<E> view(std::vector<E, Memory>& values, std::int64_t rows) {
  const std::int64_t cols = std::ssize(values) / rows;
  return {values.data(), rows, cols, cols};
}

template <class E, class Memory>
FeatureMap<E> map(std::vector<E, Memory>& values, std::int64_t batch, std::int64_t side,
                  std::int64_t width) {
  return {values.data(), batch, side, width, std::ssize(values) / (batch * side * width)};
}

}  // namespace fvlm
