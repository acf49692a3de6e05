#include "tools/commands/conversation.hpp"

#include <utility>

#include "kernels/support/make_error.hpp"
#include "tools/commands/text_file.hpp"

namespace fvlm {

void add_system_flag(CLI::App& parser, std::string& system) {
  parser
      .add_option("--system", system,
                  "What the model is told before the conversation [You are a helpful assistant.]")
      ->option_text("TEXT");
}

void add_prompt_flags(CLI::App& parser, PromptOptions& options) {
  CLI::Option* const prompt =
      parser.add_option("--prompt", options.prompt, "What to ask [Describe the image.]")
          ->option_text("TEXT");
  parser.add_option("--prompt-file", options.prompt_file, "File with what to ask")
      ->excludes(prompt)
      ->option_text("FILE");
  add_system_flag(parser, options.system);
}

std::string read_prompt(const PromptOptions& options) {
  if (options.prompt_file.empty()) return options.prompt;
  std::string text = read_text_file(options.prompt_file);
  text.erase(text.find_last_not_of("\r\n") + 1);  // editors end files with a newline
  if (text.empty()) {
    throw make_error("{}: is empty, expected the question to ask", options.prompt_file);
  }
  return text;
}

Turn user_turn(std::string text, std::vector<PreparedImage> pictures) {
  return {Turn::Role::kUser, std::move(text), std::move(pictures), true};
}

std::vector<Turn> opening(const std::string& system) {
  std::vector<Turn> turns;
  if (!system.empty()) turns.push_back({Turn::Role::kSystem, system, {}});
  return turns;
}

Request make_request(const std::string& system, std::string prompt,
                     std::vector<PreparedImage> pictures, const Sampling& sampling) {
  Request request;
  request.conversation = opening(system);
  request.conversation.push_back(user_turn(std::move(prompt), std::move(pictures)));
  request.sampling = sampling;
  return request;
}

}  // namespace fvlm
