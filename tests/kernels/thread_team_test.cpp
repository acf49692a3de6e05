#include "kernels/support/thread_team.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/cost.hpp"

namespace fvlm {
namespace {

constexpr int kMany = 16;  // threads: more than some machines have processors

TEST(ThreadTeam, EveryIterationRunsOnceWhateverTheirNumber) {
  for (const int threads : {1, 2, 5, kMany}) {
    ThreadTeam team(threads);
    EXPECT_EQ(team.size(), threads);
    for (const std::int64_t count : {0, 1, 2, 7, 1000}) {
      for (int round = 0; round < 50; ++round) {
        std::vector<std::atomic<int>> times(static_cast<std::size_t>(count));
        team.for_each(count, [&](std::int64_t i) {
          ++times[static_cast<std::size_t>(i)];
          EXPECT_LT(ThreadTeam::calling_thread(), threads);
        });
        for (const std::atomic<int>& n : times) ASSERT_EQ(n, 1);
      }
    }
  }
}

TEST(ThreadTeam, BlocksCoverTheRange) {
  ThreadTeam team(3);
  for (const std::int64_t count : {0, 1, 11, 12, 13, 1000}) {
    std::atomic<std::int64_t> sum = 0;
    const auto add = [&](std::int64_t first, std::int64_t n) {
      for (std::int64_t i = first; i < first + n; ++i) sum += i + 1;
    };
    team.for_blocks(count, add);
    EXPECT_EQ(sum, count * (count + 1) / 2);
    sum = 0;
    team.for_blocks(count, 12, [&](std::int64_t first, std::int64_t n) {
      EXPECT_EQ(n, std::min<std::int64_t>(12, count - first));
      add(first, n);
    });
    EXPECT_EQ(sum, count * (count + 1) / 2);
  }
}

TEST(ThreadTeam, TheFirstIterationThatThrowsIsReported) {
  ThreadTeam team(4);
  for (int round = 0; round < 100; ++round) {
    std::atomic<int> ran = 0;
    try {
      team.for_each(100000, [&](std::int64_t i) {
        ++ran;
        if (i >= 37) throw std::runtime_error(std::to_string(i));
      });
      ADD_FAILURE();
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "37");
    }
    EXPECT_LT(ran, 37 + 4 + 1);  // each thread may have begun one more
    ran = 0;
    team.for_each(10, [&](std::int64_t) { ++ran; });
    EXPECT_EQ(ran, 10);
  }
}

TEST(ThreadTeam, ALoopWithinAnIterationIsItsThreadsAlone) {
  ThreadTeam team(4);
  std::atomic<int> ran = 0;
  team.for_each(8, [&](std::int64_t) {
    const int outer = ThreadTeam::calling_thread();
    const std::thread::id thread = std::this_thread::get_id();
    team.for_each(8, [&](std::int64_t) {
      EXPECT_EQ(std::this_thread::get_id(), thread);
      EXPECT_EQ(ThreadTeam::calling_thread(), outer);
      ++ran;
    });
    ThreadTeam other(2);
    other.for_each(8, [&](std::int64_t) {
      EXPECT_LT(ThreadTeam::calling_thread(), 2);
      ++ran;
    });
    EXPECT_EQ(ThreadTeam::calling_thread(), outer);
  });
  EXPECT_EQ(ran, 8 * 16);
}

TEST(ThreadTeam, LoopsOfSeveralThreadsTakeTurns) {
  ThreadTeam team(3);
  std::vector<std::thread> callers;
  for (int t = 0; t < 4; ++t) {
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        std::atomic<std::int64_t> own = 0;
        team.for_each(20, [&](std::int64_t i) { own += i; });
        EXPECT_EQ(own, 190);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

TEST(ThreadTeam, ThreadsWithoutWorkSleep) {
  ThreadTeam team(kMany);
  team.for_each(1000, [](std::int64_t) {});
  const double before = processor_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(processor_seconds() - before, 0.05);
}

}  // namespace
}  // namespace fvlm
