// Runs all tests, or those whose names contain the argument; says which failed, at the end how
// many.
#include <chrono>
#include <cstdio>
#include <exception>
#include <string>

#include "gtest/gtest.h"

int main(int argc, char** argv) {
  testing::State& state = testing::State::get();
  int passed = 0;
  int failed = 0;
  int skipped = 0;
  for (const auto& one : state.cases) {
    if (argc > 1 && one.name.find(argv[1]) == std::string::npos) continue;
    state.failed = state.skipped = false;
    const auto start = std::chrono::steady_clock::now();
    try {
      one.run();
    } catch (const std::exception& e) {
      state.failed = true;
      std::printf("%s: thrown: %s\n", one.name.c_str(), e.what());
    }
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    const char* const outcome = state.failed ? "FAILED " : state.skipped ? "skipped" : "passed ";
    std::printf("%s %s (%.0f ms)\n", outcome, one.name.c_str(), took.count());
    ++(state.failed ? failed : state.skipped ? skipped : passed);
  }
  std::printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
  return failed > 0 || passed == 0 ? 1 : 0;
}
