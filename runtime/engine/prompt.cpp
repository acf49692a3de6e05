#include "runtime/engine/prompt.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <variant>

#include "fvlm/error.hpp"
#include "kernels/support/make_error.hpp"

namespace fvlm {
namespace {

constexpr std::string_view kDefaultSystem = "You are a helpful assistant.";
// Of a prompt that is too long, so many contexts are counted to say how long it is.
constexpr std::int64_t kCountedContexts = 4;

std::string_view name_of(Turn::Role role) {
  switch (role) {
    case Turn::Role::kSystem:
      return "system";
    case Turn::Role::kUser:
      return "user";
    case Turn::Role::kAssistant:
      return "assistant";
  }
  return "";
}

Error too_long(std::int64_t most, std::int64_t context_tokens) {
  return make_error("the prompt is more than {} tokens long, the context holds {}; shorten it",
                    most, context_tokens);
}

// The ids, and the text after the last control token or image: what stands between two of these is
// tokenised as one.
class PromptWriter {
 public:
  PromptWriter(const Tokenizer& tokenizer, std::int64_t context_tokens)
      : tokenizer_(tokenizer),
        context_tokens_(context_tokens),
        turn_begins_(tokenizer.encode("<|im_start|>")),
        turn_ends_(tokenizer.encode("<|im_end|>")) {}

  void open_turn(std::string_view role) {
    add(turn_begins_);
    text_.append(role).append("\n");
  }
  void add_text(std::string_view text) { text_.append(text); }
  void add_image() { add({kImageToken}); }
  void close_turn() {
    add(turn_ends_);
    text_.append("\n");
  }
  std::vector<std::int32_t> finish() {
    encode();
    return std::move(ids_);
  }

 private:
  void add(const std::vector<std::int32_t>& ids) {
    encode();
    ids_.insert(ids_.end(), ids.begin(), ids.end());
  }

  void encode() {
    const std::int64_t most = kCountedContexts * context_tokens_;
    if (!tokenizer_.append_text(text_, static_cast<std::size_t>(most), ids_)) {
      throw too_long(most, context_tokens_);
    }
    text_.clear();
  }

  const Tokenizer& tokenizer_;
  std::int64_t context_tokens_;
  std::vector<std::int32_t> turn_begins_;
  std::vector<std::int32_t> turn_ends_;
  std::vector<std::int32_t> ids_;
  std::string text_;
};

void check_places(const Turn& turn) {
  const std::vector<std::size_t>& places = turn.image_places;
  if (places.size() != turn.images.size()) {
    throw make_error("a turn has {} images and places for {}", turn.images.size(), places.size());
  }
  if (!std::ranges::is_sorted(places) || places.back() > turn.text.size()) {
    throw make_error("the places of a turn's images must ascend, up to the end of its text ({})",
                     turn.text.size());
  }
}

void write_content(const Turn& turn, PromptWriter& prompt) {
  const std::string_view text = turn.text;
  std::size_t written = 0;
  if (turn.image_places.empty()) {
    for (std::size_t i = 0; i < turn.images.size(); ++i) {
      prompt.add_image();
      prompt.add_text("\n");
    }
  } else {
    check_places(turn);
  }
  for (const std::size_t place : turn.image_places) {
    prompt.add_text(text.substr(written, place - written));
    prompt.add_image();
    written = place;
  }
  prompt.add_text(text.substr(written));
}

}  // namespace

std::vector<std::int32_t> make_prompt(const Tokenizer& tokenizer,
                                      const std::vector<Turn>& conversation,
                                      std::int64_t context_tokens) {
  const auto is_users = [](const Turn& turn) { return turn.role == Turn::Role::kUser; };
  if (std::ranges::none_of(conversation, is_users)) {
    throw Error("the conversation must have a turn of the user");
  }
  PromptWriter prompt(tokenizer, context_tokens);
  if (conversation.front().role != Turn::Role::kSystem) {
    prompt.open_turn("system");
    prompt.add_text(kDefaultSystem);
    prompt.close_turn();
  }
  for (const Turn& turn : conversation) {
    const std::string_view role = name_of(turn.role);
    if (turn.role != Turn::Role::kUser && !turn.images.empty()) {
      throw make_error("a turn of the {} cannot have images", role);
    }
    prompt.open_turn(role);
    write_content(turn, prompt);
    if (turn.role == Turn::Role::kAssistant && &turn == &conversation.back()) {
      return prompt.finish();
    }
    prompt.close_turn();
  }
  prompt.open_turn("assistant");
  return prompt.finish();
}

std::vector<std::int32_t> make_prompt(const Tokenizer& tokenizer, const RawPrompt& raw,
                                      std::int64_t context_tokens, std::int64_t vocabulary) {
  std::vector<std::int32_t> ids;
  if (const auto* text = std::get_if<std::string>(&raw)) {
    const std::int64_t most = kCountedContexts * context_tokens;
    if (!tokenizer.append_template(*text, static_cast<std::size_t>(most), ids)) {
      throw too_long(most, context_tokens);
    }
  } else {
    ids = std::get<std::vector<std::int32_t>>(raw);
    for (const std::int32_t id : ids) {
      if (id >= 0 && id < vocabulary) continue;
      throw make_error("the prompt has token {}, the model has {} tokens", id, vocabulary);
    }
  }
  if (ids.empty()) throw Error("the prompt is empty");
  return ids;
}

}  // namespace fvlm
