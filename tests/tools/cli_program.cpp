#include "tests/tools/cli_program.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <sstream>

#include "fvlm/error.hpp"
#include "kernels/support/make_error.hpp"

namespace fvlm {
namespace {

// Both ends close in other children, so that only the program itself keeps its pipes open.
std::array<int, 2> make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw Error("no pipe");
  return ends;
}

void close_if_open(int& descriptor) {
  if (descriptor >= 0) close(descriptor);
  descriptor = -1;
}

}  // namespace

Arguments with(Arguments first, const Arguments& more) {
  first.insert(first.end(), more.begin(), more.end());
  return first;
}

std::string Exit::messages() const {
  std::istringstream lines(errors);
  std::string kept;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("fastvlm: loading ")) kept += line + "\n";
  }
  return kept;
}

Program::Program(const Arguments& arguments, Input input, Output output)
    : terminal_(input != Input::kPipe) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);

  std::array<int, 2> input_pipe = {-1, -1};
  if (terminal_) {
    input_ = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (input_ < 0 || grantpt(input_) != 0 || unlockpt(input_) != 0) throw Error("no terminal");
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, ptsname(input_),
                                     O_RDWR | (input == Input::kTerminal ? O_NOCTTY : 0), 0);
  } else {
    input_pipe = make_pipe();
    input_ = input_pipe[1];
    posix_spawn_file_actions_adddup2(&files, input_pipe[0], STDIN_FILENO);
  }
  std::array<int, 2> output_pipe = make_pipe();
  output_ = output_pipe[0];
  switch (output) {
    case Output::kPipe:
      posix_spawn_file_actions_adddup2(&files, output_pipe[1], STDOUT_FILENO);
      break;
    case Output::kFullDisk:
      posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/full", O_WRONLY, 0);
      break;
    case Output::kClosed:
      posix_spawn_file_actions_addclose(&files, STDOUT_FILENO);
      break;
  }
  std::array<int, 2> errors_pipe = make_pipe();
  errors_ = errors_pipe[0];
  const bool screen = input == Input::kScreen;
  posix_spawn_file_actions_adddup2(&files, screen ? STDIN_FILENO : errors_pipe[1], STDERR_FILENO);

  // Test runners in the background may ignore signals, which children would inherit.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGPIPE}) sigaddset(&signals, number);
  posix_spawnattr_setsigdefault(&attributes, &signals);
  // A session of its own, whose terminal is the first that it opens: keys make signals.
  posix_spawnattr_setflags(&attributes,
                           static_cast<short>(POSIX_SPAWN_SETSIGDEF |
                                              (input == Input::kScreen ? POSIX_SPAWN_SETSID : 0)));

  Arguments words = with({FVLM_PROGRAM}, arguments);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const int error = posix_spawn(&process_, FVLM_PROGRAM, &files, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (screen) {
    close_if_open(errors_);
    errors_ = fcntl(input_, F_DUPFD_CLOEXEC, 0);
  }
  for (int* theirs : {&input_pipe[0], &output_pipe[1], &errors_pipe[1]}) close_if_open(*theirs);
  if (error != 0) throw make_error("{}: cannot be run", FVLM_PROGRAM);
  std::signal(SIGPIPE, SIG_IGN);  // a program that ends early must not end the tests
}

Program::~Program() {
  if (process_ > 0) {
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
  }
  for (int* ours : {&input_, &output_, &errors_}) close_if_open(*ours);
}

void Program::hang_up() {
  close_if_open(input_);
  send_signal(SIGHUP);  // by its shell
}

void Program::type(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(input_, text.data(), text.size());
    if (written <= 0) return;  // it has ended and reads no more
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void Program::end_input() {
  if (terminal_) {
    type("\x04");
  } else {
    close_if_open(input_);
  }
}

void Program::send_signal(int number) {
  kill(process_, number);
}
void Program::stop_reading() {
  close_if_open(output_);
}

void Program::read_from(int& descriptor, std::string& text) {
  std::array<char, 4096> bytes;
  const ssize_t count = read(descriptor, bytes.data(), bytes.size());
  if (count > 0) {
    text.append(bytes.data(), static_cast<std::size_t>(count));
  } else {
    close_if_open(descriptor);
  }
}

bool Program::pump(bool read_output) {
  std::array<pollfd, 2> waiting = {{
      {read_output ? output_ : -1, POLLIN, 0},
      {errors_, POLLIN, 0},
  }};
  if (waiting[0].fd < 0 && waiting[1].fd < 0) return false;
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Clock::now());
  const int timeout = std::max(0, static_cast<int>(left.count()));
  if (poll(waiting.data(), waiting.size(), timeout) == 0) {
    ADD_FAILURE() << "the program hangs; so far it printed:\n" << output_text_ << errors_text_;
    kill(process_, SIGKILL);
    return false;
  }
  if (waiting[0].revents != 0) read_from(output_, output_text_);
  if (waiting[1].revents != 0) read_from(errors_, errors_text_);
  return true;
}

bool Program::await_output() {
  while (output_text_.size() == output_seen_) {
    if (!pump(true)) return false;
  }
  output_seen_ = output_text_.size();
  return true;
}

bool Program::await_error(std::string_view text) {
  std::size_t found;
  while ((found = errors_text_.find(text, errors_seen_)) == std::string::npos) {
    if (!pump(true)) return false;
  }
  errors_seen_ = found + text.size();
  return true;
}

Exit Program::finish(bool read_output) {
  while (pump(read_output)) {
  }
  int status = 0;
  waitpid(process_, &status, 0);
  process_ = -1;
  while (output_ >= 0) read_from(output_, output_text_);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), output_text_,
          errors_text_};
}

Exit run_program(const Arguments& arguments, std::string_view input) {
  Program program(arguments);
  program.type(input);
  program.end_input();
  return program.finish();
}

void expect_refusal(const Exit& exit, const std::vector<std::string>& parts) {
  const std::string message = exit.messages();
  EXPECT_EQ(exit.code, 2) << message;
  EXPECT_EQ(exit.output, "");
  EXPECT_TRUE(message.starts_with("fastvlm: ")) << message;
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 1) << message;
  for (const std::string& part : parts) {
    EXPECT_NE(message.find(part), std::string::npos) << "no \"" << part << "\" in: " << message;
  }
}

}  // namespace fvlm
