// Every command in every --dtype on a processor with AVX2 and no more, as most desktops have:
// limited by FASTVLM_MAX_ISA.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/tools/cli_checkpoint.hpp"
#include "tests/tools/cli_program.hpp"

namespace fvlm {
namespace {

using nlohmann::json;

class Dtype : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { ::setenv("FASTVLM_MAX_ISA", "AVX2", 1); }
  void TearDown() override { ::unsetenv("FASTVLM_MAX_ISA"); }

  static Exit run(const Arguments& command, const Arguments& more = {},
                  std::string_view input = "") {
    const Arguments model = {"--model-path", kCheckpoint, "--dtype", GetParam()};
    Exit exit = run_program(with(with(command, model), more), input);
    EXPECT_EQ(exit.code, 0) << command.front() << ": " << exit.errors;
    return exit;
  }

  TemporaryFolder folder_;
};

TEST_P(Dtype, Describe) {
  const Exit exit = run({"describe", "--image-file", kImage, "--max_new_tokens", "4", "--json"});
  const json answer = json::parse(exit.output);
  EXPECT_EQ(answer["precision"], GetParam());
#ifdef __x86_64__
  EXPECT_PRED2(contains, answer["device"].get<std::string>(), "AVX2");
#endif
}

TEST_P(Dtype, Chat) {
  run({"chat", "--image-file", kImage, "--max_new_tokens", "4"}, {}, "?\n");
}

TEST_P(Dtype, Trace) {
  const std::filesystem::path output = folder_ / "trace.safetensors";
  run({"trace", "--image-file", kImage, "--output", output.string()}, {"--prompt-ids", "1,-200,3"});
  EXPECT_TRUE(exists(output));
}

TEST_P(Dtype, Evaluate) {
  const std::string cases = (folder_ / "cases.jsonl").string();
  write_file(cases, R"({"image":"small.png","prompt":"?","answer":"?","kind":"?"})");
  run({"evaluate", "--cases", cases, "--images", (kGoldenTiny / "images").string()},
      {"--max_new_tokens", "4"});
}

TEST_P(Dtype, Convert) {
  const Exit exit = run_program({"convert", "--input", kCheckpoint, "--output",
                                 (folder_ / "new").string(), "--dtype", GetParam(), "--verify"});
  EXPECT_EQ(exit.code, 0) << exit.errors;
}

TEST_P(Dtype, Bench) {
  const json report = json::parse(run({"bench", "--runs", "1", "--threads", "1", "--json"}).output);
  EXPECT_EQ(report["precision"], GetParam());
  EXPECT_GT(report["limits"]["matmul_f32_flops"], 0);
#ifdef __x86_64__
  EXPECT_EQ(report["limits"]["matmul_bf16_flops"], 0);
#endif
}

TEST_P(Dtype, Serve) {
  Program server({"serve", "--model-path", kCheckpoint, "--dtype", GetParam(), "--port", "0",
                  "--log-folder", folder_.path().string()});
  EXPECT_TRUE(server.await_error("ready: http://127.0.0.1:"));
  server.send_signal(SIGTERM);
  EXPECT_EQ(server.finish().code, 0);
}

INSTANTIATE_TEST_SUITE_P(All, Dtype, testing::Values("f32", "bf16", "int8", "int4"),
                         [](const auto& dtype) { return dtype.param; });

}  // namespace
}  // namespace fvlm
