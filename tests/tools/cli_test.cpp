// The fastvlm program as its users meet it: flags, what goes to which stream, exit codes, Ctrl-C,
// readers that go away. The weights are random, so no test knows what an answer says.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>
#include <string_view>
#include <thread>

#include "tests/tools/cli_checkpoint.hpp"
#include "tests/tools/cli_program.hpp"

namespace fvlm {
namespace {

using nlohmann::json;

// One thread: on a busy machine, several would mostly wait for one another.
const Arguments kDescribe = {"describe", "--model-path", kCheckpoint, "--image-file",
                             kImage,     "--threads",    "1"};
const Arguments kGreedy = {"--temperature", "0", "--max_new_tokens", "20"};

json describe_json(const Arguments& flags) {
  const Exit exit = run_program(with(with(kDescribe, flags), {"--json"}));
  EXPECT_EQ(exit.code, 0) << exit.errors;
  return json::parse(exit.output);
}

TEST(Frame, HelpAndVersionGoToStandardOutput) {
  const Exit help = run_program({"--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_EQ(help.errors, "");
  for (const char* command :
       {"describe", "chat", "info", "tokenize", "trace", "make-checkpoint", "bench"}) {
    EXPECT_TRUE(std::regex_search(help.output, std::regex(std::string("\n  ") + command + "[ ,]")))
        << command;
  }
  EXPECT_PRED2(contains, help.output, "\nfastvlm help COMMAND explains a command.");
  const std::regex version(R"(fastvlm \d+\.\d+\.\d+( \([0-9a-f]{7,}(-dirty)?\))?\n)");
  EXPECT_TRUE(std::regex_match(run_program({"--version"}).output, version));
}

TEST(Frame, DescribeHelpNamesEveryFlag) {
  const Exit help = run_program({"describe", "--help"});
  EXPECT_EQ(help.code, 0);
  for (const char* flag : {"model-path",
                           "image-file",
                           "prompt",
                           "temperature",
                           "top_p",
                           "top_k",
                           "num_beams",
                           "max_new_tokens",
                           "repetition_penalty",
                           "seed",
                           "conv-mode",
                           "min_p",
                           "frequency_penalty",
                           "presence_penalty",
                           "stop",
                           "device",
                           "dtype",
                           "threads",
                           "stats",
                           "json",
                           "json-schema",
                           "json-object",
                           "regex",
                           "choice"}) {
    EXPECT_PRED2(contains, help.output, std::string("--") + flag + " ");
  }
}

TEST(Frame, WithoutCommandPrintsHelpAsAnError) {
  const Exit exit = run_program({});
  EXPECT_EQ(exit.code, 2);
  EXPECT_EQ(exit.output, "");
  EXPECT_EQ(exit.errors, run_program({"--help"}).output);
}

TEST(Frame, WrongFlagsAreNamed) {
  const std::string hint = "run fastvlm describe --help";
  expect_refusal(run_program({"paint"}), {"paint", "run fastvlm --help"});
  expect_refusal(run_program({"describe", "--colour"}), {"unknown flag --colour", hint});
  expect_refusal(run_program({"describe", "--model-path", kCheckpoint}), {"--image-file", hint});
  expect_refusal(run_program({"describe", "--model-path", kCheckpoint, "--image-fil", kImage}),
                 {"unknown flag --image-fil: did you mean --image-file?", "Run fastvlm describe"});
  const auto refuse = [&hint](const Arguments& flags) {
    expect_refusal(run_program(with(kDescribe, flags)), {flags.front(), hint});
  };
  refuse({"--temperature"});
  refuse({"--temperature", "warm"});
  refuse({"--max_new_tokens", "1.5"});
  refuse({"--seed", "-1"});
  refuse({"--device", "gpu"});
  refuse({"--dtype", "f8"});
  refuse({"--conv-mode", "plain"});
  refuse({"--threads", "-1"});
  refuse({"--stop", ""});
}

TEST(Frame, SettingsOutOfRangeAreNamedBeforeAnythingIsLoaded) {
  const Arguments nothing = {"describe", "--model-path", "/nowhere", "--image-file", "/nothing"};
  const auto refuse = [&nothing](const std::string& setting, const std::string& value) {
    expect_refusal(run_program(with(nothing, {"--" + setting, value})), {setting, value});
  };
  refuse("temperature", "-1");
  refuse("temperature", "nan");
  refuse("top_p", "0");
  refuse("top_p", "1.5");
  refuse("top_k", "-2");
  refuse("num_beams", "0");
  refuse("max_new_tokens", "0");
  refuse("repetition_penalty", "0");
  refuse("min_p", "1.5");
  refuse("frequency_penalty", "3");
  refuse("presence_penalty", "-2.5");
}

TEST(Describe, StandardOutputIsTheTextAndNothingElse) {
  const std::string text = describe_json(kGreedy).at("text");
  EXPECT_NE(text, "");
  const Exit exit = run_program(with(kDescribe, kGreedy));
  EXPECT_EQ(exit.code, 0);
  EXPECT_EQ(exit.output, text + "\n");
  EXPECT_EQ(exit.messages(), "");
}

TEST(Describe, AnswersHaveTheFormThatIsAskedFor) {
  const Arguments flags = {"--temperature",    "1.5", "--top_k", "0",
                           "--max_new_tokens", "200", "--seed",  "1"};
  const auto text = [&flags](const Arguments& form) -> std::string {
    return describe_json(with(flags, form)).at("text");
  };
  const std::string chosen = text({"--choice", "left", "--choice", "right"});
  EXPECT_TRUE(chosen == "left" || chosen == "right") << chosen;
  EXPECT_EQ(text({"--regex", "x{3}"}), "xxx");
  EXPECT_TRUE(text({"--json-object"}).starts_with("{"));
  const TemporaryFolder folder;
  write_file(folder / "schema.json", R"({"type": "integer", "minimum": 5, "maximum": 9})");
  const std::string number = text({"--json-schema", (folder / "schema.json").string()});
  EXPECT_TRUE(number.size() == 1 && number >= "5" && number <= "9") << number;
}

TEST(Describe, AWrongFormIsRefusedBeforeTheModelIsLoaded) {
  const Arguments nothing = {"describe", "--model-path", "/nowhere", "--image-file", kImage};
  expect_refusal(run_program(with(nothing, {"--regex", "(?=a)"})), {"byte 0", "look-ahead"});
  expect_refusal(run_program(with(nothing, {"--regex", "a", "--choice", "b"})),
                 {"--regex", "--choice"});
  expect_refusal(run_program(with(nothing, {"--json-schema", "/nowhere.json"})),
                 {"/nowhere.json", "read"});
  const TemporaryFolder folder;
  write_file(folder / "s.json", R"({"properties": {"a": {"not": {}}}})");
  expect_refusal(run_program(with(nothing, {"--json-schema", (folder / "s.json").string()})),
                 {"s.json", "#/properties/a", "\"not\""});
}

TEST(Describe, SeedMakesChoicesRepeatable) {
  const Arguments random = {"--temperature", "1.5", "--max_new_tokens", "20", "--top_k", "0"};
  const auto tokens = [&random](const std::string& seed) {
    return describe_json(with(random, {"--seed", seed})).at("tokens");
  };
  EXPECT_EQ(tokens("7"), tokens("7"));
  EXPECT_NE(tokens("7"), tokens("18446744073709551615"));
}

TEST(Describe, StopsBeforeAText) {
  const std::string text = describe_json(kGreedy).at("text");
  const std::string word = text.substr(text.size() / 2, 3);
  const std::string before = text.substr(0, text.find(word));
  const Arguments stop = with(kGreedy, {"--stop", "never said", "--stop", word});
  EXPECT_EQ(run_program(with(kDescribe, stop)).output, before + "\n");
  const json answer = describe_json(stop);
  EXPECT_EQ(answer.at("text"), before);
  EXPECT_EQ(describe_json(with(kGreedy, {"--stop", "never said"})).at("text"), text);
}

TEST(Describe, PenaltiesAndMinPChangeTheAnswer) {
  const json greedy = describe_json(kGreedy).at("tokens");
  const auto tokens = [](const Arguments& flags) {
    return describe_json(with(kGreedy, flags)).at("tokens");
  };
  EXPECT_NE(tokens({"--frequency_penalty", "2", "--presence-penalty", "2"}), greedy);
  const Arguments hot = {"--temperature", "3", "--top_k",          "0",
                         "--seed",        "2", "--max_new_tokens", "20"};
  EXPECT_NE(describe_json(hot).at("tokens"), greedy);
  EXPECT_EQ(describe_json(with(hot, {"--min_p", "1"})).at("tokens"), greedy);
}

TEST(Frame, AFlagWithOneValueIsGivenOnce) {
  const std::string cause = "is given 2 times";
  const auto refuse = [&cause](const Arguments& flags) {
    expect_refusal(run_program(with(kDescribe, flags)), {flags.front(), cause});
  };
  refuse({"--temperature", "0", "--temperature", "0"});
  refuse({"--max_new_tokens", "3", "--max-new-tokens", "4"});
  refuse({"--json", "--json"});
  expect_refusal(run_program({"serve", "--port", "1", "--port", "2"}), {"--port", cause});
}

TEST(Describe, DashesAreUnderscores) {
  const Arguments dashes = {"--max-new-tokens",
                            "3",
                            "--top-k",
                            "1",
                            "--top-p",
                            "0.9",
                            "--num-beams",
                            "1",
                            "--repetition-penalty",
                            "1",
                            "--conv-mode",
                            "qwen_2",
                            "--temperature",
                            "0"};
  const json tokens = describe_json(dashes).at("tokens");
  EXPECT_EQ(tokens.size(), 3U);
  const json twenty = describe_json(kGreedy).at("tokens");
  EXPECT_TRUE(std::equal(tokens.begin(), tokens.end(), twenty.begin()));
}

TEST(Describe, APromptSaysWhereItsPictureStands) {
  const auto asked = [](const std::string& prompt) {
    return describe_json(with(kGreedy, {"--prompt", prompt}));
  };
  const json before = asked("What is it?");
  EXPECT_EQ(asked("<image>\nWhat is it?").at("tokens"), before.at("tokens"));
  EXPECT_NE(asked("What is it? <image>").at("tokens"), before.at("tokens"));
  expect_refusal(run_program(with(kDescribe, {"--prompt", "<image> or <image>?"})),
                 {"2 \"<image>\"", "1 image"});
}

TEST(Describe, JsonTellsWhatMadeTheAnswer) {
  const json answer = describe_json(
      {"--temperature", "0", "--max_new_tokens", "3", "--device", "ref", "--dtype", "f32"});
  EXPECT_EQ(answer.at("outcome"), "length");
  EXPECT_EQ(answer.at("model"), "checkpoint");
  EXPECT_EQ(answer.at("precision"), "f32");
  EXPECT_PRED2(contains, answer.at("device").get<std::string>(), "ref");
  const json& statistics = answer.at("statistics");
  EXPECT_EQ(statistics.at("new_tokens"), 3);
  EXPECT_GT(statistics.at("prompt_tokens"), 16);  // of the image alone
  EXPECT_GT(statistics.at("peak_rss_bytes"), 1'000'000);
  for (const char* time : {"load_s", "encode_s", "prefill_s", "ttft_s", "total_s"}) {
    EXPECT_GT(statistics.at(time), 0.0) << time;
  }
}

TEST(Describe, TakesSeveralImagesAndPrompts) {
  const auto prompt_tokens = [](const Arguments& flags) {
    return describe_json(with(flags, kGreedy)).at("statistics").at("prompt_tokens").get<int>();
  };
  const int one = prompt_tokens({});
  EXPECT_GT(prompt_tokens({"--image-file", kImage}), one + 16);
  EXPECT_LT(prompt_tokens({"--prompt", ""}), one);
  EXPECT_GT(prompt_tokens({"--prompt", "-1 is a prompt as well, and quite a long one it is"}), one);
}

TEST(Describe, BeamsPrintTheirBestAnswer) {
  const Exit exit = run_program(with(with(kDescribe, kGreedy), {"--num_beams", "3"}));
  EXPECT_EQ(exit.code, 0) << exit.errors;
  EXPECT_GT(exit.output.size(), 1U);
}

TEST(Describe, StatisticsGoToStandardError) {
  const Exit exit = run_program(with(with(kDescribe, kGreedy), {"--stats"}));
  EXPECT_EQ(exit.code, 0);
  EXPECT_EQ(exit.output, run_program(with(kDescribe, kGreedy)).output);
  for (const char* row :
       {"load ", "preprocess ", "encode ", "prefill ", "first token ", "decode ", "peak memory "}) {
    EXPECT_PRED2(contains, exit.errors, std::string("\n") + row);
  }
}

TEST(StandardOutput, ThatCannotBeWrittenIsAnError) {
  Program full(with(kDescribe, kGreedy), Program::Input::kPipe, Program::Output::kFullDisk);
  expect_refusal(full.finish(), {"standard output", "No space left"});
  Program help({"--help"}, Program::Input::kPipe, Program::Output::kFullDisk);
  expect_refusal(help.finish(), {"standard output", "No space left"});
  Program closed(with(kDescribe, kGreedy), Program::Input::kPipe, Program::Output::kClosed);
  expect_refusal(closed.finish(), {"standard output"});
}

TEST(StandardOutput, ThatNobodyReadsAnyMoreEndsTheProgramQuietly) {
  const EndlessCheckpoint endless;
  Program program({"describe", "--model-path", endless.path(), "--image-file", kImage,
                   "--temperature", "0", "--max_new_tokens", "100000", "--threads", "1"});
  EXPECT_TRUE(program.await_output());
  program.stop_reading();
  const Exit exit = program.finish();
  EXPECT_EQ(exit.code, 128 + SIGPIPE);
  EXPECT_EQ(exit.messages(), "");
}

class Interruption : public ::testing::Test {
 protected:
  using Clock = std::chrono::steady_clock;

  Arguments endless(const Arguments& flags = {}) const {
    return with({"describe", "--model-path", endless_.path(), "--image-file", kImage,
                 "--temperature", "0", "--max_new_tokens", "100000", "--threads", "1"},
                flags);
  }

  // Expects the end within the time that issue and users ask for.
  static Exit interrupt(Program& program, int number, bool read_output = true) {
    const Clock::time_point begin = Clock::now();
    program.send_signal(number);
    const Exit exit = program.finish(read_output);
    EXPECT_LT(std::chrono::duration<double>(Clock::now() - begin).count(), 0.250);
    EXPECT_EQ(exit.code, 128 + number);
    EXPECT_EQ(exit.messages(), "");
    return exit;
  }

  EndlessCheckpoint endless_;
};

TEST_F(Interruption, EndsTheAnswerWithANewline) {
  for (const int number : {SIGINT, SIGTERM}) {
    Program program(endless());
    EXPECT_TRUE(program.await_output());
    EXPECT_TRUE(interrupt(program, number).output.ends_with('\n'));
  }
}

TEST_F(Interruption, LeavesJsonWhole) {
  // Nothing tells when generation has begun, so a signal that comes too early, and ends the program
  // while it loads, is followed by a later one.
  for (int wait_ms = 100;; wait_ms *= 2) {
    Program program(endless({"--json", "--device", "ref"}));
    std::this_thread::sleep_for(std::chrono::milliseconds(wait_ms));
    const Exit exit = interrupt(program, SIGINT);
    if (exit.output.empty() && wait_ms < 10'000) continue;
    EXPECT_EQ(json::parse(exit.output).at("outcome"), "cancelled");
    break;
  }
}

TEST_F(Interruption, DoesNotWaitForAStalledReader) {
  Program program(endless());
  EXPECT_TRUE(program.await_output());
  std::this_thread::sleep_for(std::chrono::milliseconds(300));  // for the pipe to fill
  interrupt(program, SIGINT, false);
}

class Tokenize : public ::testing::Test {
 protected:
  static Exit tokenize(std::string_view input, const Arguments& flags = {}) {
    return run_program(with({"tokenize", "--tokenizer", kCheckpoint}, flags), input);
  }
};

TEST_F(Tokenize, TakesStandardInputAsItIs) {
  EXPECT_EQ(tokenize("").output, "[]\n");
  EXPECT_EQ(json::parse(tokenize("<|im_end|>").output), json({999}));
  EXPECT_GT(json::parse(tokenize("<|im_end|>", {"--plain"}).output).size(), 1U);
  EXPECT_EQ(tokenize("a b", {"--plain"}).output, tokenize("a b").output);
  const json without = json::parse(tokenize("two lines\nof text").output);
  const json with = json::parse(tokenize("two lines\nof text\n").output);
  EXPECT_EQ(with.size(), without.size() + 1);
}

TEST_F(Tokenize, LinesGiveWhatTheirTextsGive) {
  const Exit exit =
      tokenize("{\"text\": \"a\\nb\"}\n{\"text\": \"\", \"other\": 1}\n", {"--jsonl"});
  EXPECT_EQ(exit.code, 0) << exit.errors;
  const json expected = {{"ids", json::parse(tokenize("a\nb").output)}};
  EXPECT_EQ(exit.output, expected.dump() + "\n{\"ids\":[]}\n");
}

TEST_F(Tokenize, NamesTheLineThatIsWrong) {
  for (const char* wrong :
       {"{\"text\": \"", "[1]", "{\"txt\": \"\"}", "{\"text\": 3}", "", "3 4"}) {
    const Exit exit = tokenize("{\"text\": \"\"}\n" + std::string(wrong) + "\n", {"--jsonl"});
    EXPECT_EQ(exit.code, 2) << wrong;
    EXPECT_EQ(exit.output, "{\"ids\":[]}\n") << wrong;
    EXPECT_PRED2(contains, exit.errors, "line 2: ");
  }
}

}  // namespace
}  // namespace fvlm
