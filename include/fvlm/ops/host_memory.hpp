// What backends that compute in the host's own memory need to do to bring data there and back:
// nothing.
#pragma once

#include <algorithm>
#include <cstdint>

#include "fvlm/core/view.hpp"

namespace fvlm {

struct HostMemory {
  static FeatureMap<const std::uint8_t> upload(FeatureMap<const std::uint8_t> pixels) {
    return pixels;
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
};

}  // namespace fvlm
