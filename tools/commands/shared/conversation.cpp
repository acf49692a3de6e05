#include "tools/commands/shared/conversation.hpp"

#include <cstddef>
#include <string_view>
#include <utility>

#include "kernels/support/make_error.hpp"
#include "tools/commands/shared/text_file.hpp"

namespace fvlm {
namespace {

constexpr std::string_view kImageMark = "<image>";

}  // namespace

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

Turn user_turn(const std::string& text, std::vector<PreparedImage> images) {
  Turn turn{Turn::Role::kUser, text, std::move(images)};
  if (turn.images.empty() || text.find(kImageMark) == text.npos) return turn;
  turn.text.clear();
  std::size_t begin = 0;
  for (auto at = text.find(kImageMark); at != text.npos; at = text.find(kImageMark, begin)) {
    turn.text.append(text, begin, at - begin);
    turn.image_places.push_back(turn.text.size());
    begin = at + kImageMark.size();
  }
  turn.text.append(text, begin);
  if (turn.image_places.size() != turn.images.size()) {
    throw make_error("the prompt has {} \"{}\" and {} images: as many, or no mark at all",
                     turn.image_places.size(), kImageMark, turn.images.size());
  }
  return turn;
}

std::vector<Turn> opening(const std::string& system) {
  std::vector<Turn> turns;
  if (!system.empty()) turns.push_back({Turn::Role::kSystem, system, {}, {}});
  return turns;
}

Request make_request(const std::string& system, const std::string& prompt,
                     std::vector<PreparedImage> pictures, const Sampling& sampling) {
  Request request;
  request.conversation = opening(system);
  request.conversation.push_back(user_turn(prompt, std::move(pictures)));
  request.sampling = sampling;
  return request;
}

}  // namespace fvlm
