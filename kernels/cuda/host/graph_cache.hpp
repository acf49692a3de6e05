// Passes through a model that come again and again, such as decode steps of so many sequences, as
// CUDA graphs: a pass is a hundred kernels of some microseconds each, and launching them one by one
// takes the host longer than running them takes the device.
//
// A pass has a key: all that its launches depend on, other than the content of memory. The first
// pass with a key runs as it is (and may allocate), the second is recorded, and all others launch
// the record. The oldest records make room for new ones.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>

#include "kernels/cuda/primitives/stream.hpp"

namespace fvlm {

using PassKey = std::array<std::uint64_t, 12>;

template <Target target>
class GraphCache {
 public:
  // Runs work(), or what it was when it was recorded, on the stream.
  template <class Work>
  void run(const PassKey& key, Stream<target>& stream, const Work& work) {
    Pass& pass = find(key);
    if (!pass.graph && pass.has_run) pass.graph = Graph<target>::capture(stream, work);
    if (pass.graph) {
      pass.graph.launch(stream);
      ++launches_;
    } else {
      work();
      pass.has_run = true;
    }
  }
  // How often a record was launched.
  std::int64_t launches() const { return launches_; }

 private:
  static constexpr std::size_t kMost = 96;

  struct Pass {
    PassKey key;
    bool has_run = false;
    Graph<target> graph{};
  };

  // The pass with this key, at the front.
  Pass& find(const PassKey& key) {
    for (auto it = passes_.begin(); it != passes_.end(); ++it) {
      if (it->key != key) continue;
      passes_.splice(passes_.begin(), passes_, it);
      return passes_.front();
    }
    if (passes_.size() == kMost) passes_.pop_back();
    passes_.push_front({.key = key});
    return passes_.front();
  }

  std::list<Pass> passes_;  // the last used first
  std::int64_t launches_ = 0;
};

}  // namespace fvlm
