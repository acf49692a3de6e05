#include "runtime/engine/answer_text.hpp"

#include "runtime/tokenizer/unicode.hpp"

namespace fvlm {
namespace {

// Python's str.isspace.
bool is_space(char32_t c) {
  const CharacterClass kind = class_of(c);
  return kind == CharacterClass::kSpace || kind == CharacterClass::kNewline ||
         (c >= 0x1C && c <= 0x1F);
}

}  // namespace

std::string AnswerText::without_ends(const std::string& text) {
  std::string said;
  for (std::string_view rest = text; !rest.empty();) {
    const Utf8Character character = first_character(rest);
    const std::string_view bytes = rest.substr(0, character.length);
    rest.remove_prefix(character.length);
    if (is_space(character.code_point)) {
      if (begun_) held_ += bytes;
      continue;
    }
    said += held_;
    said += bytes;
    held_.clear();
    begun_ = true;
  }
  return said;
}

}  // namespace fvlm
