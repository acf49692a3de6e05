// The memory operations of backends that compute in host memory: hardly anything to do.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "fvlm/core/arena.hpp"
#include "fvlm/core/view.hpp"
#include "fvlm/ops/pixels.hpp"

namespace fvlm {

class HostMemory {
 public:
  Arena& arena() { return arena_; }

  static Pixels pixel_memory(std::size_t bytes) { return make_pixels(bytes); }
  // A single image stays where it is, several are copied into one batch.
  FeatureMap<const std::uint8_t> upload(std::span<const Pixels> pictures, std::int64_t side) {
    const auto count = std::ssize(pictures);
    if (count == 1) return {pictures.front().get(), 1, side, side, 3};
    const auto together = arena_.feature_map<std::uint8_t>(count, side, side, 3);
    if (arena_.measures()) return together;
    for (std::int64_t i = 0; i < count; ++i) {
      std::copy_n(pictures[static_cast<std::size_t>(i)].get(), side * side * 3, together.row(i, 0));
    }
    return together;
  }
  static View<float> download(View<float> rows) { return rows; }
  static void copy(View<const float> from, View<float> to) {
    for (std::int64_t r = 0; r < from.rows; ++r) std::copy_n(from.row(r), from.cols, to.row(r));
  }
  static void synchronize() {}
  template <class Work>
  static void beside(const Work& work) {
    work();
  }
  static bool beside_done() { return true; }
  static void join() {}
  template <class Input, class E, class Work>
  static void run_pass(const Input&, View<E>, const Work& work) {
    work();
  }

 protected:
  HostMemory() = default;
  explicit HostMemory(const Arena& arena) : arena_(arena) {}

  Arena arena_;
};

}  // namespace fvlm
