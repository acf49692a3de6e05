// fastvlm chat, from a pipe and from a terminal.
#include <gtest/gtest.h>

#include <csignal>
#include <string>

#include "tests/tools/cli_checkpoint.hpp"
#include "tests/tools/cli_program.hpp"

namespace fvlm {
namespace {

class ChatTest : public ::testing::Test {
 protected:
  Arguments chat(const std::string& max_new_tokens) const {
    return {"chat", "--model-path",     checkpoint_.path(), "--threads", "1", "--temperature",
            "0",    "--max_new_tokens", max_new_tokens};
  }
  Exit piped(const std::string& lines) const { return run_program(chat("5"), lines); }

  EndlessCheckpoint checkpoint_;  // answers are as long as they may be
};

// The tokens of the last prompt, as /stats prints them.
int prompt_tokens(const Exit& exit) {
  const std::size_t row = exit.errors.rfind("prefill ");
  const std::size_t tokens = exit.errors.find(" tokens", row);
  const std::size_t number = exit.errors.rfind(' ', tokens - 1);
  return row == std::string::npos ? 0 : std::stoi(exit.errors.substr(number, tokens - number));
}

TEST_F(ChatTest, AnswersEachLineFromAPipe) {
  const Exit exit = piped("First question\n\n  \nSecond question\n");
  EXPECT_EQ(exit.code, 0) << exit.errors;
  EXPECT_EQ(exit.messages(), "");  // no prompt
  const std::string first = piped("First question\n").output;
  EXPECT_TRUE(exit.output.starts_with(first));
  EXPECT_GT(exit.output.size(), first.size());
  EXPECT_EQ(piped("First question\n/quit\nSecond question\n").output, first);
}

TEST_F(ChatTest, RemembersTheConversationUntilItIsCleared) {
  const int one = prompt_tokens(piped("Question\n/stats\n"));
  EXPECT_GT(one, 0);
  EXPECT_GT(prompt_tokens(piped("Question\nQuestion\n/stats\n")), one + 5);
  EXPECT_EQ(prompt_tokens(piped("Question\n/clear\nQuestion\n/stats\n")), one);
}

TEST_F(ChatTest, ShowsAPictureWithTheNextMessage) {
  const int without = prompt_tokens(piped("Question\n/stats\n"));
  const Exit command = piped("/image " + kImage + "\nQuestion\n/stats\n");
  EXPECT_GT(prompt_tokens(command), without + 16);
  EXPECT_EQ(prompt_tokens(piped("/image " + kImage + "\n/clear\nQuestion\n/stats\n")), without);
  const Exit flag = run_program(with(chat("5"), {"--image-file", kImage}), "Question\n/stats\n");
  EXPECT_EQ(prompt_tokens(flag), prompt_tokens(command));
}

TEST_F(ChatTest, EndsAtTheFirstMistakeFromAPipe) {
  expect_refusal(piped("/paint\nQuestion\n"), {"/paint"});
  expect_refusal(piped("/image\nQuestion\n"), {"/image"});
  expect_refusal(piped("/image /nowhere.png\nQuestion\n"), {"/nowhere.png"});
  expect_refusal(piped("/stats\nQuestion\n"), {"/stats"});
}

TEST_F(ChatTest, SaysThatTheConversationIsTooLong) {
  const std::string digits(10'000, '1');  // one token each
  expect_refusal(piped(digits + "\n"), {"10"});
  const Exit second = piped("Question\n" + digits + "\n");
  EXPECT_EQ(second.code, 2);
  EXPECT_PRED2(contains, second.errors, "/clear");
}

TEST_F(ChatTest, GoesOnAfterAMistakeInATerminal) {
  Program program(chat("5"), Program::Input::kTerminal);
  EXPECT_TRUE(program.await_error("> "));
  program.type("/image /nowhere.png\n");
  EXPECT_TRUE(program.await_error("fastvlm: /nowhere.png"));
  EXPECT_TRUE(program.await_error("> "));
  program.type("Question\n");
  EXPECT_TRUE(program.await_output());
  EXPECT_TRUE(program.await_error("> "));
  program.end_input();
  EXPECT_EQ(program.finish().code, 0);
}

TEST_F(ChatTest, InterruptEndsAnAnswerAndThenTheProgram) {
  Program program(chat("100000"), Program::Input::kTerminal);
  EXPECT_TRUE(program.await_error("> "));
  program.type("Question\n");
  EXPECT_TRUE(program.await_output());
  program.send_signal(SIGINT);
  EXPECT_TRUE(program.await_error("> "));
  program.type("/stats\n");  // the answer counts, as far as it came
  EXPECT_TRUE(program.await_error("decode "));
  EXPECT_TRUE(program.await_error("> "));
  program.send_signal(SIGINT);
  const Exit exit = program.finish();
  EXPECT_EQ(exit.code, 128 + SIGINT);
  EXPECT_TRUE(exit.output.ends_with('\n'));
  EXPECT_FALSE(contains(exit.errors, "limit")) << "the answer ended before the interrupt came";
}

TEST_F(ChatTest, TerminationDuringAnAnswerEndsTheProgram) {
  Program program(chat("100000"), Program::Input::kTerminal);
  EXPECT_TRUE(program.await_error("> "));
  program.type("Question\n");
  EXPECT_TRUE(program.await_output());
  program.send_signal(SIGTERM);
  EXPECT_EQ(program.finish().code, 128 + SIGTERM);
}

}  // namespace
}  // namespace fvlm
