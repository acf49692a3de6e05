// Contexts and transfers of backends that compute in host memory and are done when an operation
// returns: hardly anything.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "fvlm/core/arena.hpp"
#include "fvlm/core/buffer.hpp"
#include "fvlm/core/view.hpp"
#include "fvlm/ops/backend.hpp"
#include "fvlm/ops/pixels.hpp"

namespace fvlm {

class HostMemory {
 public:
  class Context {
   public:
    Context() = default;
    explicit Context(std::size_t scratch_bytes)
        : memory_(scratch_bytes), arena_(memory_.as<std::byte>(), scratch_bytes) {}

    Arena& arena() { return arena_; }
    static void wait_for(const Context&) {}
    static bool done() { return true; }
    static void synchronize() {}

   private:
    Buffer memory_;
    Arena arena_;
  };

  static Context make_context(const ContextSize& size) { return Context(size.scratch_bytes); }
  static Pixels pixel_memory(std::size_t bytes) { return make_pixels(bytes); }
  // A single image stays where it is, several are copied into one batch.
  static FeatureMap<const std::uint8_t> upload(Context& context, std::span<const Pixels> pictures,
                                               std::int64_t side) {
    const auto count = std::ssize(pictures);
    if (count == 1) return {pictures.front().get(), 1, side, side, 3};
    const auto together = scratch(context.arena(), UploadShape{count, side});
    for (std::int64_t i = 0; i < count; ++i) {
      std::copy_n(pictures[static_cast<std::size_t>(i)].get(), side * side * 3, together.row(i, 0));
    }
    return together;
  }
  static FeatureMap<std::uint8_t> scratch(Arena& arena, const UploadShape& shape) {
    if (shape.images == 1) return {};
    return arena.feature_map<std::uint8_t>(shape.images, shape.side, shape.side, 3);
  }
  // Operations that need none.
  template <class Shape>
  static void scratch(Arena&, const Shape&) {}
  static View<float> download(Context&, View<float> rows) { return rows; }
  static void copy(Context&, View<const float> from, View<float> to) {
    for (std::int64_t r = 0; r < from.rows; ++r) std::copy_n(from.row(r), from.cols, to.row(r));
  }
  template <class E, class Work>
  static void run_pass(Context&, FeatureMap<const std::uint8_t>, View<E>, const Work& work) {
    work();
  }
  template <class Cache, class E, class Work>
  static void run_pass(Context&, const DecoderBatch&, const Cache&, View<E>, const Work& work) {
    work();
  }
};

}  // namespace fvlm
