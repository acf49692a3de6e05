#include "tools/commands/shared/terminal.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <iterator>

namespace fvlm {
namespace {

void notify(int) {
  notify_event();
}

std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

// In a process of its own, which has made no pipe yet.
TEST(TerminalDeathTest, SignalHandlersHaveThePipeBeforeTheFirstSignal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto open_pipe = [] {
    const std::ptrdiff_t before = open_descriptors();
    const SignalHandlers handlers({SIGUSR1}, notify);
    std::_Exit(static_cast<int>(open_descriptors() - before));
  };
  EXPECT_EXIT(open_pipe(), testing::ExitedWithCode(2), "");
}

TEST(Terminal, SignalHandlersWakeTheWaitAndGiveBackWhatWasThere) {
  struct sigaction before = {};
  sigaction(SIGUSR1, nullptr, &before);
  {
    const SignalHandlers handlers({SIGUSR1}, notify);
    std::raise(SIGUSR1);
    wait_for_event(false, std::chrono::milliseconds(-1));  // would not return
  }
  struct sigaction after = {};
  sigaction(SIGUSR1, nullptr, &after);
  EXPECT_EQ(after.sa_handler, before.sa_handler);
}

}  // namespace
}  // namespace fvlm
