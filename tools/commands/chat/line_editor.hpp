// Lines typed in a terminal: editing, history, completion with Tab, and pasted text that stays one
// message however many lines it has (bracketed paste). By libedit, whose characters are wide; ours
// are UTF-8.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fvlm {

// What Tab makes of the text before the cursor.
struct Completion {
  std::string inserted;
  std::vector<std::string> choices;  // to be listed, if there is more than one way to go on
};

class LineEditor {
 public:
  using Complete = std::function<Completion(std::string_view before_cursor)>;

  enum class Event { kLine, kEnd, kInterrupt, kTerminate };
  struct Read {
    Event event;
    std::string line;  // without the newline that ends it; of kInterrupt what was thrown away
  };

  // Whether standard input and error are a terminal on which lines can be edited.
  static bool usable();

  // `history`: the lines of before, the oldest first.
  LineEditor(Complete complete, const std::vector<std::string>& history);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  // Waits for a line, the end (Ctrl-D), Ctrl-C or SIGTERM. Handles a resized terminal and Ctrl-Z.
  Read read();
  // Adds a line to the history.
  void remember(const std::string& line);

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace fvlm
