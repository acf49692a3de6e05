// fastvlm chat: a conversation about pictures. The whole conversation is sent with every question;
// the engine keeps what it has computed of it. From a terminal, mistakes are reported and the
// conversation goes on; from a pipe, where nobody can react, the first one ends the program.
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fvlm/engine.hpp"
#include "fvlm/error.hpp"
#include "kernels/support/make_error.hpp"
#include "net/command_line/suggestions.hpp"
#include "tools/commands/chat/completion.hpp"
#include "tools/commands/chat/history.hpp"
#include "tools/commands/chat/line_editor.hpp"
#include "tools/commands/chat/transcript.hpp"
#include "tools/commands/command.hpp"
#include "tools/commands/shared/answer.hpp"
#include "tools/commands/shared/conversation.hpp"
#include "tools/commands/shared/images.hpp"
#include "tools/commands/shared/options.hpp"
#include "tools/commands/shared/report.hpp"
#include "tools/commands/shared/terminal.hpp"

namespace fvlm {
namespace {

constexpr std::string_view kHelp = R"(/image FILE   show a picture together with your next message
/system TEXT  tell the model what it is to be; without TEXT: its default again
/reset        forget the conversation and its pictures, as /clear does
/save FILE    write the conversation, as JSON if FILE ends in .json
/stats        times of the last answer
/help         this list
/quit         leave, as Ctrl-D does
In a terminal: Tab completes commands and paths, the arrow keys and Ctrl-R find earlier lines,
pasted lines are one message, Alt-Enter begins a new line, Ctrl-C ends an answer early or clears the
line, and twice leaves.
)";

const std::vector<std::string> kCommands = {"/image", "/system", "/reset", "/clear",
                                            "/save",  "/stats",  "/help",  "/quit"};

struct ChatOptions {
  EngineOptions engine;
  Sampling sampling;
  std::vector<std::string> stop;
  std::vector<std::string> image_files;
  std::string system;
  ImageOptions pictures;
  bool history = true;
};

class Chat {
 public:
  Chat(Engine& engine, const ChatOptions& options, std::vector<PreparedImage> images);

  // Reads lines until the end; returns the exit code.
  int run();

 private:
  // The next line, absent at the end; exit_code_ says whether that is a signal's.
  std::optional<std::string> next_line();
  std::optional<std::string> edited_line();
  void open_editor(bool with_history);

  // Each returns the exit code if the line ended the program.
  std::optional<int> handle(const std::string& line);
  std::optional<int> handle_command(const std::string& line);
  std::optional<int> handle_question(const std::string& text);

  void take_back_question();
  void explain_length() const;
  std::vector<Turn> whole_conversation() const;
  void say(const std::string& message) const {
    if (interactive_) print_notice(message);
  }

  Engine& engine_;
  Sampling sampling_;
  std::vector<std::string> stop_;
  std::string system_;
  ImageOptions picture_options_;
  std::vector<PreparedImage> images_;  // for the next question
  std::vector<Turn> conversation_;     // without the system's turn
  std::optional<Statistics> last_;     // of the last answer
  bool interactive_ = isatty(STDIN_FILENO) != 0;
  std::unique_ptr<LineEditor> editor_;  // on a terminal that can show its work
  std::filesystem::path history_file_;  // empty: none is kept
  int exit_code_ = kExitSuccess;
};

Chat::Chat(Engine& engine, const ChatOptions& options, std::vector<PreparedImage> images)
    : engine_(engine),
      sampling_(options.sampling),
      stop_(options.stop),
      system_(options.system),
      picture_options_(options.pictures),
      images_(std::move(images)) {
  if (LineEditor::usable()) open_editor(options.history);
}

void Chat::open_editor(bool with_history) {
  if (with_history) history_file_ = chat_history_file();
  const auto complete = [](std::string_view before) {
    return complete_chat_line(before, kCommands);
  };
  editor_ = std::make_unique<LineEditor>(complete, read_chat_history(history_file_));
}

int Chat::run() {
  if (interactive_) {
    print_notice(fmt::format("{}, {}, {}. /help lists the commands.", engine_.info().model,
                             engine_.info().device, engine_.info().precision));
  }
  while (const std::optional<std::string> line = next_line()) {
    try {
      if (const std::optional<int> exit_code = handle(*line)) return *exit_code;
    } catch (const Error& error) {
      if (!interactive_) throw;
      print_error(error.what());
    }
  }
  if (interactive_) print_error_text("\n");  // after the Ctrl-D
  return exit_code_;
}

std::optional<std::string> Chat::next_line() {
  if (editor_ != nullptr) return edited_line();
  if (interactive_) print_error_text("> ");
  std::string line;
  if (!std::getline(std::cin, line)) return std::nullopt;
  return line;
}

std::optional<std::string> Chat::edited_line() {
  bool warned = false;  // that the next Ctrl-C leaves
  while (true) {
    LineEditor::Read read = editor_->read();
    switch (read.event) {
      case LineEditor::Event::kLine:
        if (read.line.find_first_not_of(" \t\r\n") != std::string::npos) {
          editor_->remember(read.line);
          if (!history_file_.empty() && !append_chat_history(history_file_, read.line)) {
            print_warning(fmt::format("{}: the history cannot be written; --no-history keeps none",
                                      history_file_.string()));
            history_file_.clear();
          }
        }
        return std::move(read.line);
      case LineEditor::Event::kInterrupt:
        if (warned && read.line.empty()) {
          exit_code_ = kExitSignal + SIGINT;
          return std::nullopt;
        }
        print_error_text("^C\n");
        print_notice("Ctrl-C again leaves, as Ctrl-D does");
        warned = true;
        break;
      case LineEditor::Event::kTerminate:
        exit_code_ = kExitSignal + SIGTERM;
        return std::nullopt;
      case LineEditor::Event::kEnd:
        return std::nullopt;
    }
  }
}

std::optional<int> Chat::handle(const std::string& line) {
  if (line.find_first_not_of(" \t\r") == std::string::npos) return std::nullopt;
  return line.front() == '/' ? handle_command(line) : handle_question(line);
}

std::optional<int> Chat::handle_command(const std::string& line) {
  const std::size_t space = line.find(' ');
  const std::string name = line.substr(0, space);
  const std::string argument = space == std::string::npos ? "" : line.substr(space + 1);
  if (name == "/quit") return kExitSuccess;
  if (name == "/help") {
    print_error_text(kHelp);
  } else if (name == "/clear" || name == "/reset") {
    conversation_.clear();
    images_.clear();
    say("the conversation is forgotten");
  } else if (name == "/system") {
    system_ = argument;
    say(argument.empty() ? "the model is told its default"
                         : "the model is told this from your next message on");
  } else if (name == "/save") {
    if (argument.empty()) throw Error("/save: expected the name of a file, as in /save chat.txt");
    if (conversation_.empty()) throw Error("/save: there is no conversation yet");
    save_conversation(typed_path(argument), whole_conversation());
    say("saved to " + typed_path(argument));
  } else if (name == "/stats") {
    if (!last_) throw Error("/stats: there is no answer yet");
    print_error_text(statistics_table(engine_.info(), *last_));
  } else if (name == "/image") {
    std::error_code none;
    const std::string file =
        std::filesystem::exists(argument, none) ? argument : typed_path(argument);
    if (file.empty()) throw Error("/image: expected the name of a file, as in /image photo.jpg");
    images_.push_back(prepare(engine_, open_picture(file, picture_options_)));
    say(fmt::format("{} goes with your next message", file));
  } else {
    const std::string meant = net::suggestion(name, kCommands);
    throw make_error("{}: no such command{}{} /help lists them", name, meant,
                     meant.empty() ? ";" : "");
  }
  return std::nullopt;
}

std::optional<int> Chat::handle_question(const std::string& text) {
  conversation_.push_back(user_turn(text, images_));
  images_.clear();
  Request request;
  request.conversation = whole_conversation();
  request.sampling = sampling_;
  Reply answer;
  try {
    answer = ask(engine_, std::move(request), stop_, Show::kText);
  } catch (const Error& error) {
    take_back_question();
    if (conversation_.empty()) throw;
    throw make_error("{}; /clear begins a new conversation", error.what());
  }
  last_ = answer.result.statistics;
  print_detail(timing_line(*last_));
  if (answer.result.text.empty()) {
    take_back_question();
  } else {
    conversation_.push_back({Turn::Role::kAssistant, answer.result.text, {}});
  }
  if (answer.result.outcome == Outcome::kLength) explain_length();
  if (answer.signal == SIGTERM || (answer.signal != 0 && !interactive_)) {
    return kExitSignal + answer.signal;
  }
  return std::nullopt;
}

// A question that got no answer would confuse the model; its pictures go with the next one.
void Chat::take_back_question() {
  images_ = std::move(conversation_.back().images);
  conversation_.pop_back();
}

std::vector<Turn> Chat::whole_conversation() const {
  std::vector<Turn> turns = opening(system_);
  turns.insert(turns.end(), conversation_.begin(), conversation_.end());
  return turns;
}

void Chat::explain_length() const {
  if (last_->new_tokens < sampling_.max_new_tokens) {
    print_notice(
        fmt::format("the conversation has reached the model's limit of {} tokens; /clear "
                    "begins a new one",
                    engine_.info().context_tokens));
  } else if (interactive_) {
    print_notice(fmt::format("the answer ends at --max_new_tokens {}", sampling_.max_new_tokens));
  }
}

int chat(const ChatOptions& options) {
  check_sampling(options.sampling);
  const auto pictures = open_pictures(options.image_files, options.pictures);
  const std::unique_ptr<Engine> engine = load_engine(options.engine);
  return Chat(*engine, options, prepare(*engine, pictures)).run();
}

}  // namespace

Command add_chat(CLI::App& program) {
  CLI::App* parser = program.add_subcommand("chat", "Talk about pictures in the terminal");
  parser->footer("Commands during the conversation:\n" + std::string(kHelp));
  const auto options = std::make_shared<ChatOptions>();
  add_image_flag(*parser, options->image_files)->option_text("FILE");
  add_system_flag(*parser, options->system);
  parser->add_flag("--history,!--no-history", options->history,
                   "Keep what you type in ~/.local/state/fastvlm/chat_history, for the next chat "
                   "in a terminal; --no-history: do not [on]");
  add_model_flags(*parser, options->engine);
  add_sampling_flags(*parser, options->sampling);
  add_stop_flag(*parser, options->stop);
  add_picture_flags(*parser, options->pictures);
  return {parser, [options] { return chat(*options); }};
}

}  // namespace fvlm
