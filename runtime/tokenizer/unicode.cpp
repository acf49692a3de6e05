// See unicode.hpp. utf8proc's own normalisation sorts combining marks by repeated swaps, which is
// quadratic for a long run of them; so the three steps of NFC are called one by one here, with a
// stable sort in the middle. Its composition also takes U+11A7, the empty place before the Hangul
// trailing consonants, for one of them and drops it; so no call sees it behind another character.
#include "runtime/tokenizer/unicode.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <vector>

namespace fvlm {
namespace {

constexpr auto kNfc = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
constexpr utf8proc_int32_t kHangulTrailingBase = 0x11A7;

int combining_class(utf8proc_int32_t code_point) {
  return utf8proc_get_property(code_point)->combining_class;
}

// Code points of `text`, canonically decomposed but not yet in canonical order.
std::vector<utf8proc_int32_t> decompose(std::string_view text) {
  std::vector<utf8proc_int32_t> code_points;
  code_points.reserve(text.size());
  std::array<utf8proc_int32_t, 8> parts;  // canonical decompositions have at most four
  while (!text.empty()) {
    const Utf8Character character = first_character(text);
    text.remove_prefix(character.length);
    const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(character.code_point),
                                               parts.data(), std::ssize(parts), kNfc, nullptr);
    code_points.insert(code_points.end(), parts.begin(), parts.begin() + count);
  }
  return code_points;
}

// Canonical order: within each run of combining marks, ascending by class, otherwise as it was.
void sort_combining_marks(std::vector<utf8proc_int32_t>& code_points) {
  const auto is_mark = [](auto code_point) { return combining_class(code_point) != 0; };
  auto run = std::find_if(code_points.begin(), code_points.end(), is_mark);
  while (run != code_points.end()) {
    const auto end = std::find_if_not(run, code_points.end(), is_mark);
    std::stable_sort(run, end,
                     [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    run = std::find_if(end, code_points.end(), is_mark);
  }
}

}  // namespace

Utf8Character first_character(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1, Utf8Status::kValid};
  if (lead < 0xC2 || lead > 0xF4) return {kReplacementCharacter, 1, Utf8Status::kInvalid};
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The second byte's range leaves out overlong forms, surrogates and values that are too large.
  unsigned char lowest = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  unsigned char highest = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  char32_t code_point = lead & (0x7FU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if (i == text.size()) return {kReplacementCharacter, i, Utf8Status::kIncomplete};
    if (byte(i) < lowest || byte(i) > highest) {
      return {kReplacementCharacter, i, Utf8Status::kInvalid};
    }
    code_point = (code_point << 6) | (byte(i) & 0x3FU);
    lowest = 0x80;
    highest = 0xBF;
  }
  return {code_point, length, Utf8Status::kValid};
}

void append_utf8(char32_t code_point, std::string& text) {
  std::array<utf8proc_uint8_t, 4> bytes;
  const auto count = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code_point), bytes.data());
  text.append(bytes.begin(), bytes.begin() + count);
}

std::string to_nfc(std::string_view text) {
  const bool is_ascii = std::all_of(text.begin(), text.end(),
                                    [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (is_ascii) return std::string(text);
  std::vector<utf8proc_int32_t> code_points = decompose(text);
  sort_combining_marks(code_points);
  std::string result;
  result.reserve(text.size());
  for (auto begin = code_points.begin(); begin != code_points.end();) {
    const auto end = std::find(begin + 1, code_points.end(), kHangulTrailingBase);
    const auto length = utf8proc_normalize_utf32(&*begin, end - begin, kNfc);
    std::for_each(begin, begin + length, [&](utf8proc_int32_t code_point) {
      append_utf8(static_cast<char32_t>(code_point), result);
    });
    begin = end;
  }
  return result;
}

CharacterClass class_of(char32_t code_point) {
  if (code_point == U'\r' || code_point == U'\n') return CharacterClass::kNewline;
  // White_Space is the separator categories and these controls.
  if (code_point == U'\t' || code_point == U'\v' || code_point == U'\f' || code_point == U'\x85') {
    return CharacterClass::kSpace;
  }
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code_point))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return CharacterClass::kLetter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return CharacterClass::kNumber;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return CharacterClass::kSpace;
    default:
      return CharacterClass::kOther;
  }
}

}  // namespace fvlm
