#include "tools/commands/chat/line_editor.hpp"

#include <fmt/format.h>
#include <histedit.h>
#include <langinfo.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cwchar>
#include <utility>

#include "fvlm/error.hpp"
#include "tools/commands/shared/terminal.hpp"

namespace fvlm {
namespace {

constexpr int kHistoryLines = 1000;
constexpr int kPromptColumns = 2;
constexpr const char* kPasteOn = "\x1b[?2004h";  // the terminal marks what is pasted
constexpr const char* kPasteOff = "\x1b[?2004l";
constexpr std::wstring_view kPasteEnd = L"\x1b[201~";

// Characters have their width by the locale, and libedit writes them by it; texts are UTF-8.
void choose_locale() {
  std::setlocale(LC_CTYPE, "");
  if (std::strcmp(nl_langinfo(CODESET), "UTF-8") != 0) std::setlocale(LC_CTYPE, "C.UTF-8");
}

std::wstring to_wide(std::string_view text) {
  std::wstring wide;
  std::mbstate_t state = {};
  while (!text.empty()) {
    wchar_t c = 0;
    const std::size_t used = std::mbrtowc(&c, text.data(), text.size(), &state);
    if (used > text.size()) {  // not a character: it is left out
      state = {};
      text.remove_prefix(1);
    } else {
      wide += c;
      text.remove_prefix(used == 0 ? 1 : used);
    }
  }
  return wide;
}

std::string to_utf8(std::wstring_view wide) {
  std::string text;
  std::mbstate_t state = {};
  std::array<char, MB_LEN_MAX> bytes;
  for (const wchar_t c : wide) {
    const std::size_t count = std::wcrtomb(bytes.data(), c, &state);
    if (count <= bytes.size()) text.append(bytes.data(), count);
  }
  return text;
}

// Signals that came while a line is read.
std::atomic<bool> interrupted{false};
std::atomic<bool> terminated{false};
std::atomic<bool> resized{false};
std::atomic<bool> stopped{false};

void on_edit_signal(int number) {
  if (number == SIGINT) interrupted = true;
  if (number == SIGTERM) terminated = true;
  if (number == SIGWINCH) resized = true;
  if (number == SIGTSTP) stopped = true;
  notify_event();
}

}  // namespace

struct LineEditor::Implementation {
  Complete complete;
  EditLine* editor = nullptr;
  HistoryW* history = nullptr;
  bool announced = false;     // that pasted text is to be marked, once keys come one by one
  std::mbstate_t input = {};  // of a character that has not come whole

  static Implementation& of(EditLine* editor) {
    void* data = nullptr;
    el_wget(editor, EL_CLIENTDATA, &data);
    return *static_cast<Implementation*>(data);
  }

  static wchar_t* prompt(EditLine*) {
    static std::wstring plain = L"> ";
    static std::wstring bold = L"\1\x1b[1m\1>\1\x1b[0m\1 ";  // \1: around what has no width
    return (has_colors() ? bold : plain).data();
  }
  static int read_character(EditLine* editor, wchar_t* character);
  static unsigned char complete_line(EditLine* editor, wint_t key);
  static unsigned char paste(EditLine* editor, wint_t key);
  static unsigned char insert_newline(EditLine* editor, wint_t) {
    return el_winsertstr(editor, L"\n") == 0 ? CC_REFRESH : CC_ERROR;
  }
  void redraw(bool at_end) const;
  void stop();
  void remember(const std::string& line) const {
    HistEventW event;
    history_w(history, &event, H_ENTER, to_wide(line).c_str());
  }
};

// The rows of the screen between the prompt and the cursor.
int rows_above(const LineInfoW& line) {
  winsize size = {};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 0;
  int rows = 0;
  int column = kPromptColumns;
  for (const wchar_t* c = line.buffer; c != line.cursor; ++c) {
    const int width = std::max(0, ::wcwidth(*c));
    if (*c == L'\n' || column + width > size.ws_col) {
      ++rows;
      column = 0;
    }
    column += width;
  }
  return rows;
}

// Draws prompt and line again where they are. libedit would draw them at the cursor, which is right
// in the first row only.
void LineEditor::Implementation::redraw(bool at_end) const {
  const LineInfoW* const line = el_wline(editor);
  const int rows = rows_above(*line);
  print_error_text(rows > 0 ? fmt::format("\r\x1b[{}A\x1b[J", rows) : "\r\x1b[J");
  if (at_end) el_cursor(editor, static_cast<int>(line->lastchar - line->cursor));
  el_wset(editor, EL_REFRESH);
}

// As the shell's Ctrl-Z would, but with the terminal as it was.
void LineEditor::Implementation::stop() {
  print_error_text(std::string(kPasteOff) + "\n");
  el_wset(editor, EL_PREP_TERM, 0);
  ::raise(SIGSTOP);
  el_wset(editor, EL_PREP_TERM, 1);
  print_error_text(kPasteOn);
  el_wset(editor, EL_REFRESH);
}

int LineEditor::Implementation::read_character(EditLine* editor, wchar_t* character) {
  Implementation& self = of(editor);
  if (!std::exchange(self.announced, true)) print_error_text(kPasteOn);
  while (true) {
    if (interrupted || terminated) {
      self.redraw(true);
      return -1;
    }
    if (stopped.exchange(false)) self.stop();
    if (resized.exchange(false)) {
      el_resize(editor);
      self.redraw(false);
    }
    if (!wait_for_input()) continue;
    char byte = 0;
    const ssize_t count = ::read(STDIN_FILENO, &byte, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return static_cast<int>(count);
    const std::size_t used = std::mbrtowc(character, &byte, 1, &self.input);
    if (used == 0 || used == 1) return 1;
    if (used == static_cast<std::size_t>(-1)) self.input = {};  // no character: it is left out
  }
}

unsigned char LineEditor::Implementation::complete_line(EditLine* editor, wint_t) {
  const LineInfoW* const line = el_wline(editor);
  const std::string before =
      to_utf8({line->buffer, static_cast<std::size_t>(line->cursor - line->buffer)});
  const Completion completion = of(editor).complete(before);
  if (!completion.inserted.empty()) {
    return el_winsertstr(editor, to_wide(completion.inserted).c_str()) == 0 ? CC_REFRESH : CC_ERROR;
  }
  if (completion.choices.empty()) return CC_ERROR;
  std::string list = "\n";
  for (const std::string& choice : completion.choices) list += visible(choice) + "\n";
  print_error_text(list);
  return CC_REDISPLAY;
}

unsigned char LineEditor::Implementation::paste(EditLine* editor, wint_t) {
  std::wstring text;
  wchar_t character = 0;
  while (!text.ends_with(kPasteEnd)) {
    if (el_wgetc(editor, &character) != 1) return CC_EOF;
    text += character == L'\r' ? L'\n' : character;
  }
  text.resize(text.size() - kPasteEnd.size());
  text.erase(text.find_last_not_of(L'\n') + 1);  // Enter sends it, not its last newline
  return text.empty() || el_winsertstr(editor, text.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
}

bool LineEditor::usable() {
  const char* const terminal = std::getenv("TERM");
  return isatty(STDIN_FILENO) != 0 && isatty(STDERR_FILENO) != 0 && terminal != nullptr &&
         *terminal != '\0' && std::strcmp(terminal, "dumb") != 0;
}

LineEditor::LineEditor(Complete complete, const std::vector<std::string>& history)
    : implementation_(std::make_unique<Implementation>()) {
  choose_locale();
  Implementation& self = *implementation_;
  self.complete = std::move(complete);
  self.history = history_winit();
  self.editor = el_init("fastvlm", stdin, stderr, stderr);
  if (self.editor == nullptr || self.history == nullptr) throw Error("the terminal cannot be used");
  HistEventW event;
  history_w(self.history, &event, H_SETSIZE, kHistoryLines);
  for (const std::string& line : history) self.remember(line);

  EditLine* const editor = self.editor;
  el_wset(editor, EL_CLIENTDATA, &self);
  el_wset(editor, EL_PROMPT_ESC, &Implementation::prompt, L'\1');
  el_wset(editor, EL_EDITOR, L"emacs");
  el_wset(editor, EL_SIGNAL, 0);
  el_wset(editor, EL_HIST, history_w, self.history);
  el_wset(editor, EL_GETCFN, &Implementation::read_character);
  el_source(editor, nullptr);  // ~/.editrc
  struct Key {
    const wchar_t* keys;
    const wchar_t* name;
    const wchar_t* meaning;
    unsigned char (*function)(EditLine*, wint_t);
  };
  const Key keys[] = {
      {L"^I", L"complete-line", L"Complete a command or a path", &Implementation::complete_line},
      {L"\\e[200~", L"paste", L"Insert what is pasted", &Implementation::paste},
      {L"\\e\\r", L"insert-newline", L"Begin a new line", &Implementation::insert_newline},
      {L"\\e\\n", L"insert-newline", L"Begin a new line", &Implementation::insert_newline}};
  for (const Key& key : keys) {
    el_wset(editor, EL_ADDFN, key.name, key.meaning, key.function);
    el_wset(editor, EL_BIND, key.keys, key.name, nullptr);
  }
  el_wset(editor, EL_BIND, L"^R", L"em-inc-search-prev", nullptr);
}

LineEditor::~LineEditor() {
  if (implementation_->editor != nullptr) el_end(implementation_->editor);
  if (implementation_->history != nullptr) history_wend(implementation_->history);
}

LineEditor::Read LineEditor::read() {
  interrupted = terminated = resized = stopped = false;
  const SignalHandlers handlers({SIGINT, SIGTERM, SIGWINCH, SIGTSTP}, on_edit_signal);
  EditLine* const editor = implementation_->editor;
  implementation_->announced = false;
  int count = 0;
  const wchar_t* const typed = el_wgets(editor, &count);
  print_error_text(kPasteOff);
  if (terminated) return {Event::kTerminate, {}};
  if (interrupted) {
    const LineInfoW* const line = el_wline(editor);
    std::string lost =
        to_utf8({line->buffer, static_cast<std::size_t>(line->lastchar - line->buffer)});
    el_reset(editor);
    return {Event::kInterrupt, std::move(lost)};
  }
  if (typed == nullptr || count <= 0) return {Event::kEnd, {}};
  std::string line = to_utf8({typed, static_cast<std::size_t>(count)});
  if (line.ends_with('\n')) line.pop_back();
  return {Event::kLine, std::move(line)};
}

void LineEditor::remember(const std::string& line) {
  implementation_->remember(line);
}

}  // namespace fvlm
