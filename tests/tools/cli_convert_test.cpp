// fastvlm convert: what it writes is a checkpoint like any other, and what it refuses.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/runtime/checkpoint/torch_bytes.hpp"
#include "tests/tools/cli_checkpoint.hpp"
#include "tests/tools/cli_program.hpp"

namespace fvlm {
namespace {

class CliConvert : public ::testing::Test {
 protected:
  std::string output() const { return (folder_.path() / "out").string(); }
  Exit convert(const Arguments& more = {}) const {
    return run_program(
        with({"convert", "--input", kSource, "--output", output(), "--vision-dtype", "f32"}, more));
  }
  static Exit describe(const std::string& model, const Arguments& more = {}) {
    return run_program(with({"describe", "--model-path", model, "--image-file", kImage,
                             "--temperature", "0", "--max_new_tokens", "12"},
                            more));
  }

  const std::string kSource = (kGoldenTiny / "checkpoint").string();
  TemporaryFolder folder_;
};

TEST_F(CliConvert, QuantisedAnswersAsWhenQuantisedWhileLoading) {
  for (const std::string type : {"int8", "int4"}) {
    const Exit exit = convert({"--dtype", type, "--verify"});
    ASSERT_EQ(exit.code, 0) << exit.errors;
    EXPECT_NE(exit.output.find("first logits"), std::string::npos) << exit.output;
    const Exit loaded = describe(kSource, {"--dtype", type});
    ASSERT_EQ(loaded.code, 0) << loaded.errors;
    EXPECT_FALSE(loaded.output.empty());
    EXPECT_EQ(describe(output()).output, loaded.output);
    const Exit info = run_program({"info", "--model-path", output()});
    EXPECT_NE(info.output.find(type + " in groups of 64"), std::string::npos) << info.output;
    EXPECT_NE(info.output.find("on average"), std::string::npos) << info.output;
    std::filesystem::remove_all(output());
  }
}

TEST_F(CliConvert, LeavesWeightsThatAreThereAlone) {
  ASSERT_EQ(convert().code, 0);
  expect_refusal(convert(), {output(), "holds files already", "--force"});
  EXPECT_EQ(convert({"--force"}).code, 0);
}

// A projector alone, as LLaVA's first stage of training leaves it: merged while loading as by
// convert, in every command that takes a checkpoint.
TEST_F(CliConvert, ABaseGoesWhereTheModelGoes) {
  using namespace program;
  const std::string trained = (folder_.path() / "llava-projector").string();
  std::filesystem::create_directory(trained);
  std::string bytes(64 * sizeof(float), '\0');
  for (std::size_t i = 3; i < bytes.size(); i += 4)
    bytes[i] = i % 8 == 3 ? '\x41' : '\xc1';  // 8, -8
  write_file(trained + "/mm_projector.bin",
             torch_archive(dictionary({{"model.mm_projector.2.bias",
                                        tensor(storage("FloatStorage", "0", 64), 0, {64}, {1})}}),
                           {{"0", bytes}}));
  ASSERT_EQ(run_program({"convert", "--input", trained, "--model-base", kSource, "--output",
                         output(), "--dtype", "f32"})
                .code,
            0);
  const Arguments base = {"--model-base", kSource, "--dtype", "f32"};
  const Exit merged = describe(trained, base);
  ASSERT_EQ(merged.code, 0) << merged.errors;
  EXPECT_EQ(merged.output, describe(output(), {"--dtype", "f32"}).output);
  EXPECT_NE(merged.output, describe(kSource, {"--dtype", "f32"}).output);
  for (const std::string command :
       {"info", "describe", "chat", "evaluate", "serve", "bench", "trace"})
    EXPECT_NE(run_program({command, "--help"}).output.find("--model-base"), std::string::npos);
  EXPECT_EQ(run_program({"info", "--model-path", trained, "--model-base", kSource}).code, 0);
  expect_refusal(describe(trained), {"config.json"});
}

TEST_F(CliConvert, NamesWhatIsWrong) {
  expect_refusal(convert({"--dtype", "int5"}), {"--dtype", "int5"});
  for (const std::string flag : {"--group-size", "--group"}) {  // the second is an old name
    expect_refusal(convert({"--dtype", "int4", flag, "48"}), {"--group-size", "48"});
  }
  expect_refusal(run_program({"convert", "--input", "/nowhere", "--output", output()}),
                 {"/nowhere", "no such folder"});
  expect_refusal(run_program({"convert", "--input", kSource, "--output", "/proc/new"}),
                 {"/proc/new"});
  const CheckpointCopy source;
  const std::string before = read_file(source.weights());
  expect_refusal(run_program({"convert", "--input", source.path(), "--output",
                              source.path() + "/../" + source.path().substr(5), "--force"}),
                 {"is what is converted", "choose another folder"});
  EXPECT_EQ(read_file(source.weights()), before);
}

}  // namespace
}  // namespace fvlm
