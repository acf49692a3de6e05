#include "tools/commands/shared/terminal.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <array>
#include <chrono>
#include <csignal>

#include "fvlm/error.hpp"

namespace fvlm {
namespace {

void notify(int) {
  notify_event();
}

// In a process of its own, which has made no pipe yet and may open no files.
TEST(TerminalDeathTest, SignalHandlersHaveThePipeBeforeTheFirstSignal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto without_descriptors = [] {
    const rlimit none = {0, 0};
    setrlimit(RLIMIT_NOFILE, &none);
    try {
      const SignalHandlers handlers({SIGUSR1}, notify);
    } catch (const Error&) {
      std::_Exit(0);
    }
    std::_Exit(1);
  };
  EXPECT_EXIT(without_descriptors(), testing::ExitedWithCode(0), "");
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
