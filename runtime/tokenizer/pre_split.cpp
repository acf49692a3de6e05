// See pre_split.hpp. The alternatives are tried in the pattern's order; \p{L} is kLetter, \p{N}
// kNumber, [\r\n] kNewline, and \s kNewline or kSpace.
#include "runtime/tokenizer/pre_split.hpp"

#include <optional>

#include "runtime/tokenizer/unicode.hpp"

namespace fvlm {
namespace {

// The class of the character at `position`, whose end is stored in `end`; none at the text's end.
std::optional<CharacterClass> class_at(std::string_view text, std::size_t position,
                                       std::size_t& end) {
  if (position == text.size()) return std::nullopt;
  const Utf8Character character = first_character(text.substr(position));
  end = position + character.length;
  return class_of(character.code_point);
}

// The end of the longest run of `wanted` characters that starts at `position`.
std::size_t run_end(std::string_view text, std::size_t position, CharacterClass wanted) {
  std::size_t end = position;
  while (class_at(text, position, end) == wanted) position = end;
  return position;
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d), or 0.
std::size_t contraction_length(std::string_view text) {
  constexpr std::string_view kLongS = "\u017F";  // equals s when case is ignored
  if (text[0] != '\'') return 0;
  const auto lower = [text](std::size_t i) {
    const char c = i < text.size() ? text[i] : '\0';
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  const char first = lower(1);
  const char second = lower(2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if ((first == 'r' || first == 'v') && second == 'e') return 3;
  if (first == 'l' && second == 'l') return 3;
  return text.substr(1).starts_with(kLongS) ? 1 + kLongS.size() : 0;
}

// \s*[\r\n]+|\s+(?!\S)|\s+ for a text that starts with white space: up to the last line break of
// the run; without one, all but its last character, which belongs to the word that follows.
std::size_t white_space_length(std::string_view text) {
  std::size_t position = 0;
  std::size_t last_character = 0;
  std::size_t line_breaks_end = 0;
  std::size_t end = 0;
  for (;;) {
    const auto found = class_at(text, position, end);
    if (found != CharacterClass::kNewline && found != CharacterClass::kSpace) break;
    if (found == CharacterClass::kNewline) line_breaks_end = end;
    last_character = position;
    position = end;
  }
  if (line_breaks_end > 0) return line_breaks_end;
  return position == text.size() || last_character == 0 ? position : last_character;
}

}  // namespace

std::size_t first_piece_length(std::string_view text) {
  using enum CharacterClass;
  if (const std::size_t length = contraction_length(text); length > 0) return length;

  std::size_t first_end = 0;
  const auto first = class_at(text, 0, first_end);
  std::size_t second_end = 0;
  const auto second = class_at(text, first_end, second_end);

  // [^\r\n\p{L}\p{N}]?\p{L}+
  if (first == kLetter) return run_end(text, first_end, kLetter);
  if ((first == kSpace || first == kOther) && second == kLetter) {
    return run_end(text, second_end, kLetter);
  }
  // \p{N}
  if (first == kNumber) return first_end;
  // ` ?[^\s\p{L}\p{N}]+[\r\n]*`
  if (first == kOther || (text[0] == ' ' && second == kOther)) {
    return run_end(text, run_end(text, first_end, kOther), kNewline);
  }
  return white_space_length(text);
}

}  // namespace fvlm
