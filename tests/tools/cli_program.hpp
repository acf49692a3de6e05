// Runs the fastvlm program as a user does: a process with its own standard input, output and error,
// that signals may reach and whose reader may go away. Every wait has a deadline.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace fvlm {

using Arguments = std::vector<std::string>;

// `first`, then `more`.
Arguments with(Arguments first, const Arguments& more);

// How a program ended.
struct Exit {
  int code = 0;  // exit code, or 128 + the signal that ended it, as shells say it
  std::string output;
  std::string errors;

  // Standard error without the line that announces slow loading, which busy machines may show.
  std::string messages() const;
};

class Program {
 public:
  // kScreen: a terminal for input and errors, as for somebody who sits there; what it shows is read
  // as standard error.
  enum class Input { kPipe, kTerminal, kScreen };
  enum class Output { kPipe, kFullDisk, kClosed };

  explicit Program(const Arguments& arguments, Input input = Input::kPipe,
                   Output output = Output::kPipe);
  ~Program();  // kills it if it still runs
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void type(std::string_view text);  // to standard input
  void end_input();                  // end of file; on a terminal, Ctrl-D
  void hang_up();                    // the terminal goes
  void send_signal(int number);
  void stop_reading();  // closes our end of its standard output

  // Wait for something on standard output, or for `text` on standard error, that no wait before has
  // seen. False if the program ends without it.
  bool await_output();
  bool await_error(std::string_view text);

  // Waits for the end. `read_output`: false leaves standard output unread until then, as a pager
  // does that nobody scrolls.
  Exit finish(bool read_output = true);

 private:
  using Clock = std::chrono::steady_clock;

  // Reads what there is, waiting for something if there is nothing yet. False at the end.
  bool pump(bool read_output);
  void read_from(int& descriptor, std::string& text);

  int process_ = -1;
  int input_ = -1;  // our ends
  int output_ = -1;
  int errors_ = -1;
  bool terminal_ = false;
  std::string output_text_;
  std::string errors_text_;
  std::size_t output_seen_ = 0;
  std::size_t errors_seen_ = 0;
  Clock::time_point deadline_ = Clock::now() + std::chrono::seconds(60);
};

// Runs the program with `input` to its end.
Exit run_program(const Arguments& arguments, std::string_view input = "");

// Expects exit code 2, nothing on standard output, and one line on standard error that begins with
// "fastvlm: " and holds each of `parts`.
void expect_refusal(const Exit& exit, const std::vector<std::string>& parts);

}  // namespace fvlm
