// UTF-8 and the little of Unicode a tokeniser needs: reading one character, repairing invalid
// bytes, normalisation form C, and the classes that Qwen2's pre-split pattern tells apart.
// Character data comes from utf8proc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fvlm {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

enum class Utf8Status : std::uint8_t {
  kValid,
  kInvalid,     // no continuation of these bytes could make a character
  kIncomplete,  // the text ends inside a character
};

struct Utf8Character {
  char32_t code_point;  // U+FFFD unless valid
  std::size_t length;   // bytes, at least 1; of an invalid sequence, its longest valid start
  Utf8Status status;
};

// Reads the first character of `text`, which must not be empty. Overlong forms, surrogates and
// values above U+10FFFF are invalid (The Unicode Standard, table 3-7).
Utf8Character first_character(std::string_view text);

// Appends `code_point`, a Unicode scalar value, to `text`.
void append_utf8(char32_t code_point, std::string& text);

// Normalisation form C of `text`. Every invalid or incomplete sequence becomes one U+FFFD.
// Time grows as n log n for any input, long runs of combining marks included.
std::string to_nfc(std::string_view text);

// `\p{L}`, `\p{N}`, `[\r\n]`, the rest of `\s` (the property White_Space), and everything else.
enum class CharacterClass : std::uint8_t { kLetter, kNumber, kNewline, kSpace, kOther };

CharacterClass class_of(char32_t code_point);

}  // namespace fvlm
