// fastvlm describe with several pictures: which ones, in which order, where answers go, and what a
// bad one, a stop and a second run make of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tests/tools/cli_checkpoint.hpp"
#include "tests/tools/cli_program.hpp"

namespace fvlm {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const std::string kTinyCheckpoint = (kGoldenTiny / "checkpoint").string();

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

class DescribeEach : public ::testing::Test {
 protected:
  static Arguments command(const Arguments& flags) {
    return with({"describe", "--model-path", kTinyCheckpoint, "--threads", "1", "--temperature",
                 "0", "--max_new_tokens", "4"},
                flags);
  }
  static Exit describe(const Arguments& flags, std::string_view input = "") {
    return run_program(command(flags), input);
  }
  // What --image-file says of it.
  static std::string alone(const std::string& image) {
    const Exit exit = describe({"--image-file", image, "--json"});
    return json::parse(exit.output).at("text");
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  void add(const std::string& name, const std::string& image = "small.png") const {
    fs::create_directories(fs::path(path(name)).parent_path());
    fs::copy(kGoldenTiny / "images" / image, path(name));
  }
  // The files of its lines.
  static std::vector<std::string> files(const Exit& exit) {
    std::vector<std::string> names;
    for (const std::string& line : lines_of(exit.output)) {
      names.push_back(json::parse(line).at("file"));
    }
    return names;
  }

  TemporaryFolder folder_;
};

TEST_F(DescribeEach, OnePictureIsAnsweredAsByImageFile) {
  const std::string text = alone(kImage);
  EXPECT_EQ(describe({kImage}).output, text + "\n");
  EXPECT_EQ(describe({"-"}, read_file(kImage)).output, text + "\n");
  const Exit caption = describe({kImage, "--json"});
  EXPECT_EQ(json::parse(caption.output).at("file"), kImage);
  EXPECT_EQ(run_program(with({"caption"},
                             [&] {
                               const Arguments all = command({kImage});
                               return Arguments(all.begin() + 1, all.end());
                             }()))
                .output,
            text + "\n");
}

TEST_F(DescribeEach, SeveralComeInTheirOrderWithTheirNames) {
  add("in/b.png");
  add("in/a.JPG");
  add("in/deep/c.jpeg");
  add("in/.hidden.png");
  write_file(path("in/notes.md"), "no picture");
  fs::create_directory_symlink("..", path("in/loop"));
  const std::vector<std::string> walked = {path("in/a.JPG"), path("in/b.png"),
                                           path("in/deep/c.jpeg")};
  EXPECT_EQ(files(describe({path("in"), "--json"})), walked);
  EXPECT_EQ(files(describe({path("in/*.{png,JPG}"), kImage, "--json"})),
            (std::vector<std::string>{path("in/a.JPG"), path("in/b.png"), kImage}));
  add("in/[x].png");
  EXPECT_EQ(files(describe({path("in/[x].png"), kImage, "--json"})),
            (std::vector<std::string>{path("in/[x].png"), kImage}));

  const Exit text = describe({path("in/b.png"), "-"}, read_file(kImage));
  EXPECT_EQ(text.code, 0) << text.errors;
  const std::vector<std::string> lines = lines_of(text.output);
  ASSERT_EQ(lines.size(), 2U) << text.output;
  EXPECT_TRUE(lines[0].starts_with(path("in/b.png") + ": "));
  EXPECT_TRUE(lines[1].starts_with("-: "));
}

TEST_F(DescribeEach, AnswersAreThoseOfEachAlone) {
  for (int i = 0; i < 12; ++i) {
    add("p" + std::to_string(10 + i) + ".png", i % 2 == 0 ? "small.png" : "wide.png");
  }
  const Exit exit = describe({folder_.path().string(), "--json"});
  ASSERT_EQ(exit.code, 0) << exit.errors;
  const std::vector<std::string> lines = lines_of(exit.output);
  ASSERT_EQ(lines.size(), 12U);
  for (const std::string& line : lines) {
    const json answer = json::parse(line);
    EXPECT_EQ(answer.at("text"), alone(answer.at("file"))) << answer.at("file");
  }
}

TEST_F(DescribeEach, ABadPictureDoesNotEndTheRest) {
  add("a.png");
  write_file(path("b.png"), "");
  write_file(path("c.png"), "text");
  add("d.png");
  const Exit exit = describe({folder_.path().string(), path("none.png"), path("no*"), "--json"});
  EXPECT_EQ(exit.code, 1);
  const std::vector<std::string> lines = lines_of(exit.output);
  ASSERT_EQ(lines.size(), 5U) << exit.output;
  EXPECT_TRUE(json::parse(lines[0]).contains("text"));
  EXPECT_TRUE(json::parse(lines[1]).contains("error"));
  EXPECT_TRUE(json::parse(lines[3]).contains("text"));
  for (const char* message :
       {"b.png: empty", "c.png: ", "none.png: ", "no*: no file", "4 pictures failed"}) {
    EXPECT_PRED2(contains, exit.errors, message);
  }
}

TEST_F(DescribeEach, NamesWhatCannotBeAsked) {
  fs::create_directory(path("empty"));
  const Exit empty = describe({path("empty")});
  EXPECT_EQ(empty.code, 2);
  EXPECT_PRED2(contains, empty.errors, "empty: the folder holds no pictures (.jpg");
  expect_refusal(describe({"-", "-"}), {"standard input", "once"});
  expect_refusal(describe({kImage, "--image-file", kImage}), {"--image-file", "PICTURE"});
  expect_refusal(describe({kImage, kImage, "--prompt", "<image> <image>"}), {"2 \"<image>\""});
  expect_refusal(describe({"--image-file", kImage, "--output-dir", path("out")}), {"--output-dir"});
  expect_refusal(describe({kImage, "--output-dir", "/dev/null/out"}), {"/dev/null/out"});
  expect_refusal(describe({kImage, "--prompt-file", path("none.txt")}), {"none.txt"});
  write_file(path("blank.txt"), "\n");
  expect_refusal(describe({kImage, "--prompt-file", path("blank.txt")}), {"blank.txt", "empty"});
}

TEST_F(DescribeEach, APromptComesFromAFileAndASystemTurnPrecedesIt) {
  write_file(path("prompt.txt"), "What is\nit?\n");
  const auto tokens = [](const Arguments& flags) {
    return json::parse(describe(with({kImage, "--json"}, flags)).output)
        .at("statistics")
        .at("prompt_tokens")
        .get<int>();
  };
  const int plain = tokens({"--prompt", "What is\nit?"});
  EXPECT_EQ(tokens({"--prompt-file", path("prompt.txt")}), plain);
  EXPECT_GT(tokens({"--prompt", "What is\nit?", "--system",
                    "You are a very very terse robot, "
                    "and of few words, mostly."}),
            plain);
}

TEST_F(DescribeEach, WritesSidecarsAndGoesOnWhereItWasStopped) {
  add("in/a.png");
  add("in/sub/b.png");
  write_file(path("in/sub/bad.png"), "");
  const Arguments flags = {path("in"), "--output-dir", path("out/new")};
  const Exit first = describe(flags);
  EXPECT_EQ(first.code, 1) << first.errors;
  EXPECT_EQ(first.output, "");
  EXPECT_PRED2(contains, first.errors, "2 pictures described in ");
  EXPECT_EQ(read_file(path("out/new/a.txt")), alone(kImage) + "\n");
  EXPECT_TRUE(fs::exists(path("out/new/sub/b.txt")));
  EXPECT_FALSE(fs::exists(path("out/new/sub/bad.txt")));

  write_file(path("out/new/a.txt"), "mine");
  fs::remove(path("in/sub/bad.png"));
  fs::remove(path("out/new/sub/b.txt"));
  const Exit second = describe(flags);
  EXPECT_EQ(second.code, 0) << second.errors;
  EXPECT_PRED2(contains, second.errors, "1 had been before");
  EXPECT_EQ(read_file(path("out/new/a.txt")), "mine");
  EXPECT_TRUE(fs::exists(path("out/new/sub/b.txt")));
  EXPECT_EQ(describe(with(flags, {"--force"})).code, 0);
  EXPECT_NE(read_file(path("out/new/a.txt")), "mine");
  EXPECT_EQ(describe(with(flags, {"--json"})).code, 0);
  EXPECT_EQ(json::parse(read_file(path("out/new/a.json"))).at("file"), path("in/a.png"));
  for (const auto& file : fs::recursive_directory_iterator(path("out"))) {
    EXPECT_NE(file.path().extension(), ".partial");
  }
}

TEST_F(DescribeEach, AnswersToAnotherQuestionAreNotTakenForDone) {
  add("in/a.png");
  add("in/sub/b.png");
  const Arguments flags = {path("in"), "--output-dir", path("out")};
  const auto ask = [&](const Arguments& more) { return describe(with(flags, more)).errors; };
  ask({"--prompt", "What?"});
  EXPECT_PRED2(contains, ask({"--prompt", "What?"}), "2 had been before");

  write_file(path("out/a.txt"), "old");
  fs::remove(path("in/sub/b.png"));
  const std::string other = ask({"--prompt", "Where?"});
  EXPECT_PRED2(contains, other, "1 answer in " + path("out") + " had other questions");
  EXPECT_PRED2(contains, other, "1 picture described");
  EXPECT_NE(read_file(path("out/a.txt")), "old");
  add("in/sub/b.png");
  // Of one that was stopped half-way the rest.
  EXPECT_PRED2(contains, ask({"--prompt", "Where?"}), "1 had been before");
  for (const Arguments& more :
       {Arguments{"--prompt", "Where?", "--system", "Be brief."}, {"--json-object"}}) {
    EXPECT_PRED2(contains, ask(more), "2 answers in ");
  }
  // By another model, and what nobody knows about: by hand, or before there was a record.
  fs::copy(kTinyCheckpoint, path("other"), fs::copy_options::recursive);
  EXPECT_PRED2(
      contains,
      run_program({"describe", "--model-path", path("other"), "--threads", "1", "--max_new_tokens",
                   "4", "--json-object", path("in"), "--output-dir", path("out")})
          .errors,
      "2 answers in ");
  write_file(path("out/.fastvlm-answers.jsonl"), "{\n[1]\n{\"answer\":3}\n\xff\n");
  EXPECT_PRED2(contains, ask({}), "2 had been before");
}

TEST_F(DescribeEach, NamesOfSidecarsThatCollideAreRefused) {
  add("in/a.png");
  add("in/a.jpg");
  add("other/a.png");
  expect_refusal(describe({path("in"), "--output-dir", path("out")}),
                 {"a.jpg", "a.png", "a.txt", "--output-dir of its own"});
  EXPECT_FALSE(fs::exists(path("out")));
  // The same picture twice is one.
  fs::remove(path("in/a.jpg"));
  const Exit twice = describe({path("in"), path("in/a.png"), "--output-dir", path("out")});
  EXPECT_EQ(twice.code, 0) << twice.errors;
}

TEST_F(DescribeEach, NamesAreShownWithoutControlCharacters) {
  add("new\nline\x1b.png");
  add("50 % \xe5\x9b\xbe.png");
  const Exit exit = describe({folder_.path().string()});
  EXPECT_EQ(exit.code, 0) << exit.errors;
  EXPECT_EQ(std::count(exit.output.begin(), exit.output.end(), '\n'), 2) << exit.output;
  EXPECT_PRED2(contains, exit.output, "new\\nline\\x1b.png: ");
  EXPECT_PRED2(contains, exit.output, "50 % \xe5\x9b\xbe.png: ");
}

TEST_F(DescribeEach, QuietAndVerbose) {
  add("a.png");
  add("b.png");
  const Arguments flags = {folder_.path().string(), "--output-dir", path("out")};
  EXPECT_EQ(describe(with(flags, {"--quiet"})).errors, "");
  const Exit verbose = describe(with(flags, {"--verbose", "--force"}));
  EXPECT_PRED2(contains, verbose.errors, "fastvlm: loaded ");
  EXPECT_PRED2(contains, verbose.errors, "a.png: preprocess ");
  expect_refusal(describe(with(flags, {"--verbose", "--quiet"})), {"--verbose", "--quiet"});
}

TEST_F(DescribeEach, InterruptKeepsWhatIsFinished) {
  const EndlessCheckpoint endless;
  add("a.png");
  add("b.png");
  Program program({"describe", "--model-path", endless.path(), "--threads", "1", "--verbose",
                   "--temperature", "0", "--max_new_tokens", "100000", "--output-dir", path("out"),
                   folder_.path().string()});
  EXPECT_TRUE(program.await_error("asking about 2 pictures"));
  program.send_signal(SIGINT);
  const Exit exit = program.finish();
  EXPECT_EQ(exit.code, 128 + SIGINT);
  EXPECT_PRED2(contains, exit.errors, "2 pictures left; the same command goes on from here");
  EXPECT_FALSE(fs::exists(path("out/a.txt")));
}

TEST(Suggestions, NameWhatWasMeant) {
  expect_refusal(run_program({"descrbie"}), {"did you mean describe?"});
  expect_refusal(run_program({"chat", "--model", "x"}), {"did you mean --model-path?"});
  expect_refusal(run_program({"chat", "--max-tokens", "x"}), {"did you mean --max_new_tokens?"});
  expect_refusal(run_program({kImage}), {"did you mean fastvlm describe " + kImage});
  expect_refusal(run_program({"help", "info2"}), {"did you mean info?"});
  const Exit nothing = run_program({"describe", "--zzzzzz"});
  EXPECT_FALSE(contains(nothing.errors, "did you mean")) << nothing.errors;
}

TEST(Help, IsACommandAndAFlag) {
  EXPECT_EQ(run_program({"help"}).output, run_program({"--help"}).output);
  for (const char* command : {"describe", "chat", "serve"}) {
    EXPECT_EQ(run_program({"help", command}).output, run_program({command, "--help"}).output);
  }
  EXPECT_EQ(run_program({"help", "caption"}).output, run_program({"help", "describe"}).output);
  EXPECT_EQ(run_program({"version"}).output, run_program({"--version"}).output);
}

}  // namespace
}  // namespace fvlm
