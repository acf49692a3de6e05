// When passes run directly, when a CUDA graph captures them and when the graph is replayed.
#include "kernels/cuda/host/graph_cache.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>

#include "kernels/cuda/primitives/memory.hpp"
#include "tests/kernels/cuda/modes.hpp"

namespace fvlm {
namespace {

template <class T>
class CudaGraphCache : public testing::Test {
 protected:
  static constexpr Target kTarget = T::value;

  void SetUp() override {
    if (device_count<kTarget>() == 0) GTEST_SKIP() << "no CUDA device";
    stream_.emplace();
    memory_ = DeviceBuffer<kTarget>(1);
    fetched_ = PinnedBuffer<kTarget>(1);
    set(0);
  }

  void set(unsigned char value) { stream_->fill(memory_.template as<std::byte>(), value, 1); }
  // A pass that leaves `value` behind, and what is there after it.
  int run(std::uint64_t key, unsigned char value) {
    cache_.run({key}, *stream_, [&] {
      ++calls_;
      set(value);
    });
    stream_->copy_to_host(fetched_.template as<std::byte>(), memory_.template as<std::byte>(), 1);
    stream_->synchronize();
    return *fetched_.template as<unsigned char>();
  }

  std::optional<Stream<kTarget>> stream_;
  DeviceBuffer<kTarget> memory_;
  PinnedBuffer<kTarget> fetched_;
  GraphCache<kTarget> cache_;
  int calls_ = 0;
};
TYPED_TEST_SUITE(CudaGraphCache, CudaTargets, CudaTargetName);

TYPED_TEST(CudaGraphCache, TheSecondPassIsRecorded) {
  EXPECT_EQ(this->run(7, 1), 1);
  EXPECT_EQ(this->run(7, 2), 2);
  this->set(0);
  EXPECT_EQ(this->run(7, 3), 2);  // the record
  EXPECT_EQ(this->calls_, 2);
  EXPECT_EQ(this->run(8, 4), 4);  // another pass
  EXPECT_EQ(this->cache_.launches(), 2);
}

TYPED_TEST(CudaGraphCache, TheOldestAreForgotten) {
  for (int i = 0; i < 3; ++i) this->run(7, 1);
  EXPECT_EQ(this->calls_, 2);
  for (std::uint64_t key = 100; key < 195; ++key) this->run(key, 2);
  EXPECT_EQ(this->run(7, 3), 1);  // still there, and now the last used
  for (std::uint64_t key = 200; key < 296; ++key) this->run(key, 2);
  EXPECT_EQ(this->run(7, 3), 3);
}

TYPED_TEST(CudaGraphCache, APassThatFailsWhileItIsRecordedIsRecordedLater) {
  this->run(7, 1);
  const auto fail = [&] {
    this->cache_.run({7}, *this->stream_, [&] {
      this->set(9);
      throw std::runtime_error("stopped");
    });
  };
  EXPECT_THROW(fail(), std::runtime_error);
  EXPECT_EQ(this->run(7, 2), 2);
  EXPECT_EQ(this->run(7, 3), 2);
}

// Its first run counts only when it has come to its end: it may have to allocate yet.
TYPED_TEST(CudaGraphCache, APassThatFailsAtFirstRunsAsItIsAgain) {
  const auto fail = [&] {
    this->cache_.run({7}, *this->stream_, [] { throw std::runtime_error("stopped"); });
  };
  EXPECT_THROW(fail(), std::runtime_error);
  EXPECT_EQ(this->run(7, 1), 1);
  EXPECT_EQ(this->cache_.launches(), 0);
}

}  // namespace
}  // namespace fvlm
