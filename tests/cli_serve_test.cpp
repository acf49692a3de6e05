// fastvlm serve: starts, writes its log, stops on a signal, and refuses what it should.
#include <gtest/gtest.h>

#include <csignal>
#include <string>

#include "tests/cli_checkpoint.hpp"
#include "tests/cli_program.hpp"
#include "tests/temporary_folder.hpp"

namespace fvlm {
namespace {

class Serve : public ::testing::Test {
 protected:
  Arguments arguments(const Arguments& more = {}) const {
    return with({"serve", "--model-path", (kGoldenTiny / "checkpoint").string(), "--threads", "1",
                 "--log-folder", folder_.path().string()},
                more);
  }
  // Without the lines of the log, which may come before.
  static void expect_named(const Exit& exit, const std::string& part) {
    EXPECT_EQ(exit.code, 2);
    EXPECT_PRED2(contains, exit.errors, "fastvlm: ");
    EXPECT_PRED2(contains, exit.errors, part);
  }

  TemporaryFolder folder_;
};

TEST_F(Serve, StopsOnSignalsAndKeepsALog) {
  for (const int signal : {SIGTERM, SIGINT}) {
    Program server(arguments({"--port", "0"}));
    ASSERT_TRUE(server.await_error("ready: http://127.0.0.1:"));
    server.send_signal(signal);
    EXPECT_EQ(server.finish().code, 0);
  }
  const std::string log = read_file(folder_ / "server.log");
  EXPECT_PRED2(contains, log, "] INFO: 🚀 ");
  EXPECT_PRED2(contains, log, "] INFO: stopped");
}

TEST_F(Serve, NamesWhatIsWrong) {
  expect_named(run_program(arguments({"--host", "0.0.0.0"})), "--api-key");
  expect_named(run_program(arguments({"--port", "65536"})), "--port");
  expect_named(run_program(arguments({"--host", "192.0.2.1", "--open-to-all"})), "192.0.2.1");
  expect_named(run_program(arguments({"--api-key-file", "/none"})), "/none");
  expect_named(run_program(arguments({"--max_new_tokens", "0"})), "--max_new_tokens");
}

}  // namespace
}  // namespace fvlm
