// The terminal's side of the programs: messages and a progress line on standard error, standard
// output that reports what went wrong, and Ctrl-C as something a program can wait for.
#pragma once

#include <chrono>
#include <csignal>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace fvlm {

// Opens /dev/null for each standard descriptor that the caller closed, so that no file opened later
// takes its place. To be called first. Writing to a standard output that was closed still fails.
void open_standard_descriptors();

// How much standard error says, in every command.
enum class Verbosity {
  kQuiet,    // errors
  kNormal,   // also warnings, notices, and progress
  kVerbose,  // also what is loaded, what is chosen, and what it takes
};
void set_verbosity(Verbosity verbosity);
Verbosity verbosity();

// Whether messages are lines of text, or JSON objects as the log's are, for programs that read
// them.
enum class MessageForm { kText, kJson };
void set_message_form(MessageForm form);

// Prints on standard error, in place of a progress line. That it cannot be written is no reason to
// stop.
void print_error_text(std::string_view text);
// These print "fastvlm: MESSAGE", or an object, in one line whatever the message holds.
void print_error(std::string_view message);
void print_warning(std::string_view message);  // "warning: MESSAGE"; not if quiet
void print_notice(std::string_view message);   // not if quiet
void print_detail(std::string_view message);   // if verbose

// Whether standard error is a terminal that shows colours, and nobody asked for none: $NO_COLOR,
// TERM=dumb.
bool has_colors();

// The text without what would move a terminal's cursor or change its colours: control characters
// are written as in C, e.g. \n and \x1b.
std::string visible(std::string_view text);

// Writes all of `text` to standard output. Throws Error if that fails, e.g. on a full disk.
void write_output(std::string_view text);
// Writes as much as fits without waiting, removes it from `text`. Throws as write_output does.
void write_some_output(std::string& text);

// "LABEL  [####......] 42 %  NOTE" on standard error, for work that turns out to take longer than a
// second: short work stays silent. Redrawn in place on a terminal and erased when something else is
// printed, and at the end; elsewhere printed once, as a message. Not if quiet. One at a time.
class ProgressLine {
 public:
  explicit ProgressLine(std::string label);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void update(double fraction, std::string_view note = {});  // in 0..1

 private:
  using Clock = std::chrono::steady_clock;

  std::string label_;
  bool on_terminal_;
  Clock::time_point next_draw_;
};

// While one exists, `handler` is called for `signals`; what it calls has to be safe in a handler,
// as notify_event then is. Throws Error where that has no pipe to write to.
class SignalHandlers {
 public:
  SignalHandlers(std::initializer_list<int> signals, void (*handler)(int number));
  ~SignalHandlers();
  SignalHandlers(const SignalHandlers&) = delete;
  SignalHandlers& operator=(const SignalHandlers&) = delete;

 private:
  struct Previous {
    int signal;
    struct sigaction action;
  };
  std::vector<Previous> previous_;
};

// While one exists, SIGINT and SIGTERM do not end the process: the first is kept for `signal` and
// ends `wait_for_event`; a second ends the process at once. One at a time.
class InterruptGuard {
 public:
  InterruptGuard();

  // The signal that came, or 0.
  int signal() const;

 private:
  SignalHandlers handlers_;
};

// While one exists, SIGHUP does not end the process but ends `wait_for_event`. One at a time.
class HangupGuard {
 public:
  HangupGuard();

  // Whether one came since the last call.
  bool take();
  // Whether standard input was a terminal, and is gone: then it came of that.
  bool terminal_gone() const;

 private:
  bool on_terminal_;
  SignalHandlers handlers_;
};

// Ends a wait_for_event, current or next. Safe from any thread and under SignalHandlers.
void notify_event();

// Waits, up to `timeout` (negative: forever), for notify_event, a signal under an InterruptGuard,
// or, if `output_pending`, for room in standard output. Returns whether output can be written.
// May return early without any of these. For one thread.
bool wait_for_event(bool output_pending, std::chrono::milliseconds timeout);

// Waits for notify_event or for something on standard input, its end included; returns whether
// there is.
bool wait_for_input();

}  // namespace fvlm
