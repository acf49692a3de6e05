#include "runtime/grammar/regex_syntax.hpp"

#include <string>
#include <utility>

#include "kernels/support/make_error.hpp"
#include "runtime/tokenizer/unicode.hpp"

namespace fvlm {
namespace {

using Kind = RegexSyntax::Kind;

constexpr std::size_t kMaxGroups = 100;            // of groups
constexpr std::size_t kMaxExpression = 64 * 1024;  // bytes
constexpr std::size_t kMaxCount = 100'000;         // in {n,m}

const CharacterSet kDigits{{'0', '9'}};
const CharacterSet kWord{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
const CharacterSet kLineEnds{{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};
const CharacterSet kSpace{{'\t', '\r'},     {' ', ' '},       {0xA0, 0xA0},     {0x1680, 0x1680},
                          {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F},
                          {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};

bool is_letter_or_digit(char32_t c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

class RegexParser {
 public:
  explicit RegexParser(std::string_view text) : text_(text) {
    if (text.size() > kMaxExpression) {
      throw make_error("the expression has {} bytes, more than {}", text.size(), kMaxExpression);
    }
  }

  RegexSyntax parse() {
    RegexSyntax all = alternatives(0);
    if (!at_end()) fail(position_, "')' without '('");
    return all;
  }

 private:
  template <class... Args>
  [[noreturn]] static void fail(std::size_t position, fmt::format_string<Args...> format,
                                Args&&... args) {
    throw make_error("at byte {} of the expression: {}", position,
                     fmt::format(format, std::forward<Args>(args)...));
  }

  bool at_end() const { return position_ == text_.size(); }
  bool sees(std::string_view next) const { return text_.substr(position_).starts_with(next); }
  bool take(std::string_view next) {
    if (!sees(next)) return false;
    position_ += next.size();
    return true;
  }
  char32_t take_character() {
    if (at_end()) fail(position_, "the expression ends too soon");
    const Utf8Character character = first_character(text_.substr(position_));
    if (character.status != Utf8Status::kValid) fail(position_, "invalid UTF-8");
    position_ += character.length;
    return character.code_point;
  }

  RegexSyntax alternatives(std::size_t depth) {
    if (depth > kMaxGroups) fail(position_, "more than {} groups within one another", kMaxGroups);
    RegexSyntax choice{.kind = Kind::kChoice, .position = position_};
    do {
      choice.children.push_back(sequence(depth));
    } while (take("|"));
    return choice.children.size() == 1 ? std::move(choice.children[0]) : choice;
  }

  RegexSyntax sequence(std::size_t depth) {
    RegexSyntax all{.kind = Kind::kSequence, .position = position_};
    while (!at_end() && !sees("|") && !sees(")")) {
      all.children.push_back(quantified(atom(depth)));
    }
    return all.children.size() == 1 ? std::move(all.children[0]) : all;
  }

  RegexSyntax quantified(RegexSyntax what) {
    const std::size_t start = position_;
    const auto counts = quantifier();
    if (!counts) return what;
    if (what.kind == Kind::kBegin || what.kind == Kind::kEnd) fail(start, "an anchor is repeated");
    take("?");
    if (sees("+")) fail(position_, "possessive repetition is not supported");
    if (quantifier()) fail(start, "a repetition is repeated: put it into a group");
    RegexSyntax repeat{.kind = Kind::kRepeat, .position = start};
    repeat.min = counts->first;
    repeat.max = counts->second;
    repeat.children.push_back(std::move(what));
    return repeat;
  }

  using Counts = std::pair<std::size_t, std::optional<std::size_t>>;
  std::optional<Counts> quantifier() {
    if (take("*")) return Counts{0, std::nullopt};
    if (take("+")) return Counts{1, std::nullopt};
    if (take("?")) return Counts{0, 1};
    const std::size_t start = position_;
    if (!take("{")) return std::nullopt;
    const auto min = number();
    const bool comma = take(",");
    const auto max = number();
    if (!min && comma && max) fail(start, "write {{0,{}}} instead of {{,{}}}", *max, *max);
    if (!min || !take("}")) {  // a brace that means itself
      position_ = start;
      return std::nullopt;
    }
    if (comma && max && *max < *min) fail(start, "{{{},{}}} has no count in it", *min, *max);
    return comma ? Counts{*min, max} : Counts{*min, *min};
  }

  std::optional<std::size_t> number() {
    const std::size_t start = position_;
    std::size_t value = 0;
    while (!at_end() && text_[position_] >= '0' && text_[position_] <= '9') {
      value = 10 * value + static_cast<std::size_t>(text_[position_++] - '0');
      if (value > kMaxCount) fail(start, "a count above {}", kMaxCount);
    }
    return position_ == start ? std::nullopt : std::optional(value);
  }

  RegexSyntax atom(std::size_t depth) {
    const std::size_t start = position_;
    const auto set = [&](CharacterSet of) {
      return RegexSyntax{.kind = Kind::kSet, .position = start, .set = std::move(of)};
    };
    if (take("(")) return group(start, depth);
    if (take("[")) return set(character_class(start));
    if (take(".")) return set(~kLineEnds);
    if (take("^")) return {.kind = Kind::kBegin, .position = start};
    if (take("$")) return {.kind = Kind::kEnd, .position = start};
    if (take("\\")) return set(escape(start, false));
    if (sees("*") || sees("+") || sees("?")) fail(start, "nothing to repeat");
    return set(CharacterSet::of(take_character()));
  }

  RegexSyntax group(std::size_t start, std::size_t depth) {
    if (take("?")) {
      if (sees("=") || sees("!")) fail(start, "look-ahead is not supported");
      if (sees("<=") || sees("<!")) fail(start, "look-behind is not supported");
      if (take("<") || take("P<")) {
        while (take_character() != '>') {
        }
      } else if (!take(":")) {
        fail(start, "'(?{}' is not supported: only groups (a), (?:a) and (?<name>a) are",
             at_end() ? "" : "...");
      }
    }
    RegexSyntax inside = alternatives(depth + 1);
    if (!take(")")) fail(start, "'(' without ')'");
    return inside;
  }

  CharacterSet character_class(std::size_t start) {
    const bool negated = take("^");
    if (sees("]")) fail(start, "an empty character class");
    CharacterSet set;
    while (!take("]")) {
      if (at_end()) fail(start, "'[' without ']'");
      const std::size_t place = position_;
      const CharacterSet low = class_member();
      if (!sees("-") || sees("-]")) {
        set = set | low;
        continue;
      }
      take("-");
      const CharacterSet high = class_member();
      const auto single = [](const CharacterSet& s) {
        return s.ranges().size() == 1 && s.ranges()[0].first == s.ranges()[0].last;
      };
      if (!single(low) || !single(high)) fail(place, "a range from or to a class of characters");
      const CharacterRange range{low.ranges()[0].first, high.ranges()[0].first};
      if (range.first > range.last) fail(place, "a range that runs backwards");
      set = set | CharacterSet{range};
    }
    return negated ? ~set : set;
  }

  CharacterSet class_member() {
    const std::size_t start = position_;
    if (take("\\")) return escape(start, true);
    return CharacterSet::of(take_character());
  }

  CharacterSet escape(std::size_t start, bool in_class) {
    const char32_t c = take_character();
    switch (c) {
      case 'd':
        return kDigits;
      case 'D':
        return ~kDigits;
      case 'w':
        return kWord;
      case 'W':
        return ~kWord;
      case 's':
        return kSpace;
      case 'S':
        return ~kSpace;
      case 't':
        return CharacterSet::of('\t');
      case 'n':
        return CharacterSet::of('\n');
      case 'r':
        return CharacterSet::of('\r');
      case 'f':
        return CharacterSet::of('\f');
      case 'v':
        return CharacterSet::of('\v');
      case 'x':
        return CharacterSet::of(hexadecimal(start, 2));
      case 'u':
        return CharacterSet::of(unicode_escape(start));
      case '0':
        if (!at_end() && is_letter_or_digit(static_cast<unsigned char>(text_[position_]))) {
          fail(start, "an octal escape is not supported: write \\xHH");
        }
        return CharacterSet::of(0);
      case 'b':
        if (in_class) return CharacterSet::of('\b');
        fail(start, "the word boundary \\b is not supported");
      case 'p':
      case 'P':
        fail(start, "the Unicode property \\{} is not supported", static_cast<char>(c));
      case 'k':
        fail(start, "the backreference \\k is not supported");
      default:
        break;
    }
    if (c >= '1' && c <= '9') fail(start, "the backreference \\{} is not supported", c - '0');
    if (is_letter_or_digit(c)) {
      fail(start, "the escape \\{} is not supported", static_cast<char>(c));
    }
    return CharacterSet::of(c);
  }

  char32_t unicode_escape(std::size_t start) {
    if (take("{")) {
      char32_t value = 0;
      do {
        value = 16 * value + hexadecimal(start, 1);
        if (value > 0x10FFFF) fail(start, "no character has this number");
      } while (!take("}"));
      return checked(start, value);
    }
    const char32_t first = hexadecimal(start, 4);
    if (first >= 0xD800 && first <= 0xDBFF && take("\\u")) {
      const char32_t second = hexadecimal(start, 4);
      if (second < 0xDC00 || second > 0xDFFF) fail(start, "half of a surrogate pair");
      return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
    }
    return checked(start, first);
  }

  static char32_t checked(std::size_t start, char32_t value) {
    if (value >= 0xD800 && value <= 0xDFFF) fail(start, "half of a surrogate pair");
    return value;
  }

  char32_t hexadecimal(std::size_t start, int digits) {
    char32_t value = 0;
    for (int i = 0; i < digits; ++i) {
      const char32_t c = take_character();
      if (c >= '0' && c <= '9') {
        value = 16 * value + (c - '0');
      } else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) {
        value = 16 * value + ((c | 0x20) - 'a' + 10);
      } else {
        fail(start, "a hexadecimal digit is missing");
      }
    }
    return value;
  }

  std::string_view text_;
  std::size_t position_ = 0;
};

}  // namespace

RegexSyntax parse_regex(std::string_view expression) {
  return RegexParser(expression).parse();
}

}  // namespace fvlm
