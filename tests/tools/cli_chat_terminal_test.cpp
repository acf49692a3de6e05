// fastvlm chat as somebody at a terminal uses it: keys, history, completion, pasted text, Ctrl-C.
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/tools/cli_checkpoint.hpp"
#include "tests/tools/cli_program.hpp"

namespace fvlm {
namespace {

class ChatTerminal : public ::testing::Test {
 protected:
  ChatTerminal() {
    ::setenv("XDG_STATE_HOME", folder_.path().c_str(), 1);
    ::setenv("TERM", "xterm", 1);
    ::unsetenv("NO_COLOR");
  }
  ~ChatTerminal() override { ::unsetenv("XDG_STATE_HOME"); }

  static Arguments chat(const Arguments& more = {}) {
    return with({"chat", "--model-path", (kGoldenTiny / "checkpoint").string(), "--threads", "1",
                 "--temperature", "0", "--max_new_tokens", "2"},
                more);
  }
  std::string saved() const { return (folder_ / "saved.json").string(); }
  std::string history() const { return (folder_ / "fastvlm/chat_history").string(); }
  // The questions of a conversation that was saved.
  nlohmann::json questions() const {
    nlohmann::json texts = nlohmann::json::array();
    for (const nlohmann::json& turn : nlohmann::json::parse(read_file(saved()))) {
      if (turn.at("role") == "user") texts.push_back(turn.at("text"));
    }
    return texts;
  }
  // Asks what `keys` type, saves the conversation and leaves.
  nlohmann::json ask(const std::string& keys, const Arguments& more = {}) const {
    std::filesystem::remove(saved());
    Program program(chat(more), Program::Input::kScreen);
    EXPECT_TRUE(program.await_error("\x1b[?2004h"));
    program.type(keys + "\r");
    EXPECT_TRUE(program.await_output());
    EXPECT_TRUE(program.await_error("\x1b[?2004h"));
    program.type("/save " + saved() + "\r");
    EXPECT_TRUE(program.await_error("saved to "));
    EXPECT_TRUE(program.await_error("\x1b[?2004h"));
    program.type("\x04");
    EXPECT_EQ(program.finish().code, 0);
    return questions();
  }

  TemporaryFolder folder_;
};

TEST_F(ChatTerminal, LinesAreEdited) {
  const std::string left = "\x1b[D";
  EXPECT_EQ(ask("acd" + left + left +
                "b\x05"
                "e"),
            nlohmann::json({"abcde"}));
  // Wide characters are one key each.
  EXPECT_EQ(ask("图中有圆吗" + left + left +
                "\x7f"
                "没"),
            nlohmann::json({"图中没圆吗"}));
}

TEST_F(ChatTerminal, PastedLinesAreOneMessage) {
  EXPECT_EQ(ask("\x1b[200~one\rtwo\nthree\r\x1b[201~"), nlohmann::json({"one\ntwo\nthree"}));
  EXPECT_EQ(ask("one\x1b\rtwo"), nlohmann::json({"one\ntwo"}));  // Alt-Enter
}

TEST_F(ChatTerminal, EarlierLinesComeBackInAPrivateFile) {
  ask("What is\x1b\rit?");
  struct stat status = {};
  ASSERT_EQ(::stat(history().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  EXPECT_PRED2(contains, read_file(history()), "\"What is\\nit?\"\n");
  const std::string up = "\x1b[A";
  EXPECT_EQ(ask(up + up), nlohmann::json({"What is\nit?"}));  // before it, /save
  const std::string before = read_file(history());
  ask("secret", {"--no-history"});
  EXPECT_EQ(read_file(history()), before);
}

TEST_F(ChatTerminal, TabCompletesCommandsAndPaths) {
  const std::string folder = (folder_ / "deep").string();
  std::filesystem::create_directory(folder);
  std::filesystem::copy(kImage, folder + "/picture one.png");
  write_file(folder + "/picture.txt", "");
  Program program(chat(), Program::Input::kScreen);
  EXPECT_TRUE(program.await_error("\x1b[?2004h"));
  program.type("/im\t" + folder + "/pic\t\r");
  EXPECT_TRUE(program.await_error("picture one.png goes with your next message"));
  program.type("/s\t");
  EXPECT_TRUE(program.await_error("/save"));
  EXPECT_TRUE(program.await_error("/stats"));
  EXPECT_TRUE(program.await_error("/system"));
}

TEST_F(ChatTerminal, ControlCClearsTheLineAndTwiceLeaves) {
  Program program(chat(), Program::Input::kScreen);
  EXPECT_TRUE(program.await_error("\x1b[?2004h"));
  program.type("half\x03");
  EXPECT_TRUE(program.await_error("Ctrl-C again leaves"));
  EXPECT_TRUE(program.await_error("\x1b[?2004h"));
  program.type("more");  // then it is not twice in a row
  EXPECT_TRUE(program.await_error("more"));
  program.type("\x03");
  EXPECT_TRUE(program.await_error("Ctrl-C again leaves"));
  EXPECT_TRUE(program.await_error("\x1b[?2004h"));
  program.type("\x03");
  EXPECT_EQ(program.finish().code, 128 + SIGINT);
}

TEST_F(ChatTerminal, ColorsCanBeRefused) {
  const auto screen = [](const char* ready) {
    Program program(chat(), Program::Input::kScreen);
    EXPECT_TRUE(program.await_error(ready));
    program.type("\x04");
    return program.finish().errors;
  };
  ::setenv("NO_COLOR", "1", 1);
  EXPECT_FALSE(contains(screen("\x1b[?2004h"), "\x1b[1m"));
  ::unsetenv("NO_COLOR");
  ::setenv("TERM", "dumb", 1);
  EXPECT_FALSE(contains(screen("> "), "\x1b["));
}

TEST_F(ChatTerminal, TerminationLeavesTheTerminalAsItWas) {
  Program program(chat(), Program::Input::kScreen);
  EXPECT_TRUE(program.await_error("\x1b[?2004h"));
  program.send_signal(SIGTERM);
  const Exit exit = program.finish();
  EXPECT_EQ(exit.code, 128 + SIGTERM);
  EXPECT_PRED2(contains, exit.errors, "\x1b[?2004l");
}

}  // namespace
}  // namespace fvlm
