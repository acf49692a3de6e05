// See terminal.hpp. Signals use the self-pipe method: the handler may do little more than write a
// byte, so it writes one to a pipe that the waiting thread polls together with standard output.
#include "tools/commands/shared/terminal.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <utility>

#include "kernels/support/make_error.hpp"
#include "net/process/program_log.hpp"
#include "tools/commands/command.hpp"

namespace fvlm {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPatience{1000};  // before a progress line appears
constexpr milliseconds kRedrawInterval{100};
constexpr int kBarCells = 20;

// A pipe that neither end waits for. It lives as long as the process, so a handler that runs late
// on another thread never meets a closed descriptor.
struct EventPipe {
  int read_end;
  int write_end;

  EventPipe() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) != 0) {
      throw make_error("cannot make a pipe: {}", std::strerror(errno));
    }
    read_end = ends[0];
    write_end = ends[1];
  }
};

const EventPipe& event_pipe() {
  static const EventPipe pipe;
  return pipe;
}

std::atomic<int> received_signal{0};
std::atomic<bool> received_hangup{false};
static_assert(std::atomic<int>::is_always_lock_free, "used in a signal handler");

void on_signal(int number) {
  if (received_signal.exchange(number) != 0) _exit(kExitSignal + number);
  notify_event();
}

void on_hangup(int) {
  received_hangup = true;
  notify_event();
}

SignalHandlers catch_interrupts() {
  received_signal = 0;
  return {{SIGINT, SIGTERM}, on_signal};
}

SignalHandlers catch_hangups() {
  received_hangup = false;
  return {{SIGHUP}, on_hangup};
}

std::atomic<Verbosity> chosen_verbosity{Verbosity::kNormal};

std::atomic<MessageForm> message_form{MessageForm::kText};

std::mutex standard_error;    // of the text on it, and the next
bool progress_shown = false;  // a progress line, where the cursor is

// Not fmt::print, which throws when it cannot write.
void write_error_text(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
}

void erase_progress() {
  if (progress_shown) write_error_text("\r\x1b[K");  // to the first column; clear the line
  progress_shown = false;
}

void make_way_for_output() {
  static const bool on_terminal = isatty(STDOUT_FILENO) != 0;
  if (!on_terminal) return;
  const std::lock_guard lock(standard_error);
  erase_progress();
}

void print_message(net::LogLevel level, std::string_view message) {
  if (message_form == MessageForm::kJson) {
    return print_error_text(json_line(level, std::string(message)) + "\n");
  }
  const char* const kind = level == net::LogLevel::kWarning ? "warning: " : "";
  print_error_text(fmt::format("fastvlm: {}{}\n", kind, visible(message)));
}

// Whether the terminal knows no escape sequences.
bool is_dumb() {
  const char* const terminal = std::getenv("TERM");
  return terminal == nullptr || std::strcmp(terminal, "dumb") == 0;
}

// What fits on one line of the terminal: a longer line could not be erased.
std::string one_line(std::string line) {
  winsize size = {};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return line;
  std::size_t end = std::min<std::size_t>(line.size(), size.ws_col - 1);
  while (end < line.size() && end > 0 && (line[end] & 0xc0) == 0x80) --end;  // whole characters
  line.resize(end);
  return line;
}

// Waits for an event or for `descriptor`, if it is not -1, which poll skips; returns whether that
// has something.
bool wait_for(int descriptor, short what, milliseconds timeout) {
  const int events = event_pipe().read_end;
  std::array<pollfd, 2> waiting = {{{events, POLLIN, 0}, {descriptor, what, 0}}};
  poll(waiting.data(), waiting.size(), static_cast<int>(timeout.count()));
  std::array<char, 256> bytes;
  while (read(events, bytes.data(), bytes.size()) > 0) {
  }
  return waiting[1].revents != 0;
}

// Returns the bytes written, 0 if none can be just now.
std::size_t write_once(std::string_view text) {
  const ssize_t written = write(STDOUT_FILENO, text.data(), text.size());
  if (written >= 0) return static_cast<std::size_t>(written);
  if (errno == EINTR || errno == EAGAIN) return 0;
  throw make_error("standard output: {}", std::strerror(errno));
}

}  // namespace

void open_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) != -1) continue;
    // The lowest free number is this one. Read-only makes writing to standard output an error.
    open("/dev/null", descriptor == STDERR_FILENO ? O_WRONLY : O_RDONLY);
  }
}

void set_verbosity(Verbosity chosen) {
  chosen_verbosity = chosen;
}
Verbosity verbosity() {
  return chosen_verbosity;
}

void set_message_form(MessageForm form) {
  message_form = form;
}

void print_error_text(std::string_view text) {
  const std::lock_guard lock(standard_error);
  erase_progress();
  write_error_text(text);
}

void print_error(std::string_view message) {
  print_message(net::LogLevel::kError, message);
}

void print_warning(std::string_view message) {
  if (chosen_verbosity != Verbosity::kQuiet) print_message(net::LogLevel::kWarning, message);
}

void print_notice(std::string_view message) {
  if (chosen_verbosity != Verbosity::kQuiet) print_message(net::LogLevel::kInfo, message);
}

void print_detail(std::string_view message) {
  if (chosen_verbosity == Verbosity::kVerbose) print_message(net::LogLevel::kDebug, message);
}

bool has_colors() {
  const char* const unwanted = std::getenv("NO_COLOR");
  return isatty(STDERR_FILENO) != 0 && !is_dumb() && (unwanted == nullptr || *unwanted == '\0');
}

std::string visible(std::string_view text) {
  std::string shown;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      shown += "\\n";
    } else if (c == '\t') {
      shown += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      shown += fmt::format("\\x{:02x}", byte);
    } else {
      shown += c;
    }
  }
  return shown;
}

void write_output(std::string_view text) {
  make_way_for_output();
  while (!text.empty()) {
    const std::size_t written = write_once(text);
    if (written == 0) wait_for_event(true, milliseconds(-1));
    text.remove_prefix(written);
  }
}

// A pipe that polls as writable has room for at least PIPE_BUF bytes.
void write_some_output(std::string& text) {
  make_way_for_output();
  text.erase(0, write_once(std::string_view(text).substr(0, PIPE_BUF)));
}

ProgressLine::ProgressLine(std::string label)
    : label_(std::move(label)),
      on_terminal_(isatty(STDERR_FILENO) != 0 && !is_dumb() && message_form == MessageForm::kText),
      next_draw_(chosen_verbosity == Verbosity::kQuiet ? Clock::time_point::max()
                                                       : Clock::now() + kPatience) {}

ProgressLine::~ProgressLine() {
  const std::lock_guard lock(standard_error);
  erase_progress();
}

void ProgressLine::update(double fraction, std::string_view note) {
  const Clock::time_point now = Clock::now();
  if (now < next_draw_) return;
  if (on_terminal_) {
    const auto done = static_cast<std::size_t>(kBarCells * std::clamp(fraction, 0.0, 1.0));
    const std::string line = fmt::format("{}  [{:.<{}}] {:3.0f} %  {}", label_,
                                         std::string(done, '#'), kBarCells, 100 * fraction, note);
    const std::lock_guard lock(standard_error);
    erase_progress();
    write_error_text(one_line(line));
    progress_shown = true;
    next_draw_ = now + kRedrawInterval;
  } else {
    if (message_form == MessageForm::kJson) {
      constexpr std::string_view kName = "fastvlm: ";
      print_notice(std::string_view(label_).substr(label_.starts_with(kName) ? kName.size() : 0));
    } else {
      print_error_text(label_ + " ...\n");
    }
    next_draw_ = Clock::time_point::max();
  }
}

SignalHandlers::SignalHandlers(std::initializer_list<int> signals, void (*handler)(int number)) {
  event_pipe();  // made here: a handler could interrupt its making, and would wait for it forever
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  for (const int signal : signals) {
    Previous& previous = previous_.emplace_back();
    previous.signal = signal;
    sigaction(signal, &action, &previous.action);
  }
}

SignalHandlers::~SignalHandlers() {
  for (const Previous& previous : previous_) sigaction(previous.signal, &previous.action, nullptr);
}

InterruptGuard::InterruptGuard() : handlers_(catch_interrupts()) {}

int InterruptGuard::signal() const {
  return received_signal;
}

HangupGuard::HangupGuard() : on_terminal_(isatty(STDIN_FILENO) != 0), handlers_(catch_hangups()) {}

bool HangupGuard::take() {
  return received_hangup.exchange(false);
}

bool HangupGuard::terminal_gone() const {
  return on_terminal_ && isatty(STDIN_FILENO) == 0;
}

void notify_event() {
  const int saved_errno = errno;
  // A full pipe already wakes the reader, so a write that fails is as good.
  [[maybe_unused]] const ssize_t written = write(event_pipe().write_end, "", 1);
  errno = saved_errno;
}

bool wait_for_event(bool output_pending, milliseconds timeout) {
  // Errors included: the write reports them.
  return wait_for(output_pending ? STDOUT_FILENO : -1, POLLOUT, timeout);
}

bool wait_for_input() {
  return wait_for(STDIN_FILENO, POLLIN, milliseconds(-1));
}

}  // namespace fvlm
