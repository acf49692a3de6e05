#include "capture/source/pipe_source.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "capture/source/jpeg_header.hpp"

namespace fvlm::capture {
namespace {

// What a shell's exit status says about the command (POSIX, 2.8.2).
constexpr int kStatusNoProgram = 126;
constexpr int kStatusNoCommand = 127;
constexpr char kNoCommand[] = "the shell finds no such command; install it, or give its full path";
constexpr char kNoProgram[] =
    "the shell may not run it; is it a program, with the permission to run it (chmod +x)?";

// In the child, between fork and exec: only what is allowed there.
[[noreturn]] void become(const char* command, int output, pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(127);  // we ended before that was said
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int nothing = ::open("/dev/null", O_RDONLY);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::execl("/bin/sh", "sh", "-c", command, nullptr);
  ::_exit(127);
}

// The command's first word, if nothing in it has a meaning to the shell; else empty.
std::string plain_word(const std::string& command) {
  const std::size_t from = std::min(command.find_first_not_of(" \t\n"), command.size());
  const std::size_t to = std::min(command.find_first_of(" \t\n", from), command.size());
  const std::string word = command.substr(from, to - from);
  return word.find_first_of("|&;<>()$`\\\"'*?[]#~=%!{}") == std::string::npos ? word : "";
}

// Whether it is a program, or a word of the shell itself.
bool shell_knows(const std::string& word) {
  const pid_t process = ::fork();
  if (process < 0) return true;  // what starts the command says what is wrong
  if (process == 0) {
    const int nothing = ::open("/dev/null", O_RDWR);
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(nothing, stream);
    ::execl("/bin/sh", "sh", "-c", "command -v -- \"$1\"", "sh", word.c_str(), nullptr);
    ::_exit(kStatusNoCommand);
  }
  int status = 0;
  while (::waitpid(process, &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

PipeSource::PipeSource(const std::string& command, Counters& counters)
    : name_(public_name("pipe:" + command)), counters_(counters) {
  const std::string word = plain_word(command);
  if (!word.empty() && !shell_knows(word)) {
    throw SourceError(Cause::kNoCommand, fmt::format("{}: {}", name_, kNoCommand));
  }
  if (word.find('/') != std::string::npos && ::access(word.c_str(), X_OK) != 0) {
    throw SourceError(Cause::kNoCommand, fmt::format("{}: {}", name_, kNoProgram));
  }
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw SourceError(fmt::format("no pipe for {}: {}", name_, std::strerror(errno)));
  }
  const pid_t self = ::getpid();
  process_ = ::fork();
  if (process_ == 0) become(command.c_str(), ends[1], self);
  ::close(ends[1]);
  output_ = ends[0];
  if (process_ < 0) {
    ::close(output_);
    throw SourceError(fmt::format("cannot start {}: {}", name_, std::strerror(errno)));
  }
  ::setpgid(process_, process_);  // whoever comes first: kill() below must find the group
  ::fcntl(output_, F_SETFL, O_NONBLOCK);
}

PipeSource::~PipeSource() {
  constexpr std::chrono::milliseconds kLook{20};
  ::close(output_);
  if (process_ > 0) {
    ::kill(-process_, SIGTERM);
    const Clock::time_point deadline = Clock::now() + std::chrono::seconds(1);
    while (::waitpid(process_, nullptr, WNOHANG) == 0) {
      if (Clock::now() > deadline) {
        ::kill(-process_, SIGKILL);
        ::waitpid(process_, nullptr, 0);
        return;
      }
      std::this_thread::sleep_for(kLook);
    }
    ::kill(-process_, SIGKILL);  // what the shell left behind
  }
}

std::optional<Frame> PipeSource::next(std::chrono::milliseconds patience) {
  pollfd wanted{output_, POLLIN, 0};
  if (::poll(&wanted, 1, static_cast<int>(patience.count())) <= 0) return std::nullopt;
  const bool open = read_all();
  auto frame = newest();
  if (!frame && !open) throw SourceError(Cause::kCommandEnded, ending());
  return frame;
}

bool PipeSource::read_all() {
  while (true) {
    const JpegStream::Room room = stream_.room();
    const ssize_t size = ::read(output_, room.data, room.size);
    if (size == 0) return false;
    if (size < 0) return errno == EAGAIN || errno == EINTR;
    stream_.add(static_cast<std::size_t>(size));
    if (static_cast<std::size_t>(size) < room.size) return true;
  }
}

std::optional<Frame> PipeSource::newest() {
  std::optional<Frame> newest;
  while (auto bytes = stream_.next()) {
    ++number_;
    const auto header = read_jpeg_header({bytes->data(), bytes->size()});
    if (!header) {
      counters_.damaged.add();
      continue;
    }
    if (newest) counters_.replaced.add();
    const Bytes view{bytes->data(), bytes->size()};
    newest = Frame{PixelFormat::kMjpeg, header->width,   header->height, 0, view, {}, {}, number_,
                   Clock::now(),        std::move(bytes)};
  }
  counters_.damaged.add(stream_.damaged() - std::exchange(damaged_, stream_.damaged()));
  return newest;
}

std::string PipeSource::ending() {
  int status = 0;
  const bool ended = ::waitpid(process_, &status, WNOHANG) == process_;
  if (ended) process_ = -1;
  if (ended && WIFEXITED(status) && WEXITSTATUS(status) == kStatusNoCommand) {
    return fmt::format("{}: {}", name_, kNoCommand);
  }
  if (ended && WIFEXITED(status) && WEXITSTATUS(status) == kStatusNoProgram) {
    return fmt::format("{}: {}", name_, kNoProgram);
  }
  if (ended && WIFEXITED(status)) {
    return fmt::format("{}: ended with status {}", name_, WEXITSTATUS(status));
  }
  if (ended && WIFSIGNALED(status)) {
    return fmt::format("{}: ended by signal {}", name_, WTERMSIG(status));
  }
  return fmt::format("{}: closed its output", name_);
}

}  // namespace fvlm::capture
