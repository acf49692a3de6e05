// fastvlm chat: a conversation about pictures. The whole conversation is sent with every question;
// the engine keeps what it has computed of it. From a terminal, mistakes are reported and the
// conversation goes on; from a pipe, where nobody can react, the first one ends the program.
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
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
#include "tools/commands/answer.hpp"
#include "tools/commands/command.hpp"
#include "tools/commands/conversation.hpp"
#include "tools/commands/images.hpp"
#include "tools/commands/options.hpp"
#include "tools/commands/report.hpp"
#include "tools/commands/terminal.hpp"

namespace fvlm {
namespace {

constexpr std::string_view kHelp = R"(/image FILE  show a picture together with your next message
/clear       forget the conversation and its pictures
/stats       times of the last answer
/help        this list
/quit        leave, as Ctrl-D does; Ctrl-C ends an answer early
)";

struct ChatOptions {
  EngineOptions engine;
  Sampling sampling;
  std::vector<std::string> stop;
  std::vector<std::string> image_files;
  ImageOptions pictures;
};

class Chat {
 public:
  Chat(Engine& engine, const ChatOptions& options, std::vector<PreparedImage> images)
      : engine_(engine),
        sampling_(options.sampling),
        stop_(options.stop),
        picture_options_(options.pictures),
        images_(std::move(images)) {}

  // Reads lines until the end; returns the exit code.
  int run();

 private:
  // Each returns the exit code if the line ended the program.
  std::optional<int> handle(const std::string& line);
  std::optional<int> handle_command(const std::string& line);
  std::optional<int> handle_question(const std::string& text);

  void take_back_question();
  void explain_length() const;

  Engine& engine_;
  Sampling sampling_;
  std::vector<std::string> stop_;
  ImageOptions picture_options_;
  std::vector<PreparedImage> images_;  // for the next question
  std::vector<Turn> conversation_;
  std::optional<Statistics> last_;  // of the last answer
  bool interactive_ = isatty(STDIN_FILENO) != 0;
};

int Chat::run() {
  if (interactive_) {
    print_error_text(fmt::format("{}, {}, {}. /help lists the commands.\n", engine_.info().model,
                                 engine_.info().device, engine_.info().precision));
  }
  while (true) {
    if (interactive_) print_error_text("> ");
    std::string line;
    if (!std::getline(std::cin, line)) break;
    try {
      if (const std::optional<int> exit_code = handle(line)) return *exit_code;
    } catch (const Error& error) {
      if (!interactive_) throw;
      print_error(error.what());
    }
  }
  if (interactive_) print_error_text("\n");  // after the Ctrl-D
  return kExitSuccess;
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
  } else if (name == "/clear") {
    conversation_.clear();
    images_.clear();
  } else if (name == "/stats") {
    if (!last_) throw Error("/stats: there is no answer yet");
    print_error_text(statistics_table(engine_.info(), *last_));
  } else if (name == "/image") {
    if (argument.empty()) throw Error("/image: expected the name of a file");
    images_.push_back(prepare(engine_, open_picture(argument, picture_options_)));
  } else {
    throw make_error("{}: no such command; /help lists them", name);
  }
  return std::nullopt;
}

std::optional<int> Chat::handle_question(const std::string& text) {
  conversation_.push_back(user_turn(text, images_));
  images_.clear();
  Request request;
  request.conversation = conversation_;
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
  add_model_flags(*parser, options->engine);
  add_sampling_flags(*parser, options->sampling);
  add_stop_flag(*parser, options->stop);
  add_picture_flags(*parser, options->pictures);
  return {parser, [options] { return chat(*options); }};
}

}  // namespace fvlm
