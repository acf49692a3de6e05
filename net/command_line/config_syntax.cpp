#include "net/command_line/config_syntax.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "net/http/one_line.hpp"

namespace fvlm::net {
namespace {

constexpr std::string_view kSpaces = " \t\r";

std::string_view trimmed(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kSpaces), text.size()));
  return text.substr(0, text.find_last_not_of(kSpaces) + 1);
}

std::string_view line_of(std::string_view text, std::size_t number) {
  for (; number > 1 && !text.empty(); --number) {
    text.remove_prefix(
        std::min(text.size(), text.find('\n') == text.npos ? text.size() : text.find('\n') + 1));
  }
  return text.substr(0, text.find('\n'));
}

// A line of KEY = VALUE; the key is empty if it is none.
struct Line {
  std::string_view key;
  std::string_view value;        // without a comment
  std::size_t value_column = 0;  // of what follows the =
};

Line parts_of(std::string_view line) {
  const std::size_t equals = line.find('=');
  const std::string_view key = trimmed(line.substr(0, equals));
  if (equals == line.npos || key.empty() || key.find_first_of("\"'[]{},#") != key.npos) return {};
  std::string_view value = line.substr(equals + 1);
  for (std::size_t i = 1; i < value.size(); ++i) {
    if (value[i] == '#' && kSpaces.find(value[i - 1]) != kSpaces.npos) value = value.substr(0, i);
  }
  return {key, trimmed(value), equals + 2};
}

// Words that other formats have for true and false.
std::string_view truth_of(std::string_view word) {
  std::string lower(word);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  });
  for (const char* yes : {"true", "yes", "on"}) {
    if (lower == yes) return "true";
  }
  for (const char* no : {"false", "no", "off"}) {
    if (lower == no) return "false";
  }
  return {};
}

// The line as it should be, if its value is a word without quotes.
std::string mended(const Line& line) {
  const std::string_view value = line.value;
  const bool is_number = value.find_first_not_of("+-0123456789_ ") == value.npos;
  if (line.key.empty() || value.empty() || is_number) return {};
  if (value.find_first_of("\"'[{") == 0) return {};
  const std::string key = one_line(line.key, kLongestQuote);
  if (const std::string_view truth = truth_of(value); !truth.empty()) {
    return fmt::format("expected true or false: {} = {}", key, truth);
  }
  return fmt::format("a text must stand in quotes: {}", quoted_line(line.key, value));
}

}  // namespace

std::string quoted_line(std::string_view key, std::string_view value) {
  constexpr std::size_t kLongestValue = 60;
  while (value.ends_with('"')) value.remove_suffix(1);
  const bool shown = !key.ends_with("key") && value.size() <= kLongestValue &&
                     value.find_first_of("\"\\@") == value.npos;
  return fmt::format("{} = \"{}\"", one_line(key, kLongestQuote), shown ? value : "...");
}

std::string syntax_problem(std::string_view text, ConfigPlace place, std::string_view description) {
  constexpr std::string_view kPrefix = "Error while parsing ";
  const Line line = parts_of(line_of(text, place.line));
  if (description.find("invalid utf-8") != description.npos) {
    return "this is not UTF-8, and so no config file";
  }
  if (!line.key.empty() && description.find("cannot redefine") != description.npos) {
    return fmt::format("{} stands here for the second time; keep one of them",
                       one_line(line.key, kLongestQuote));
  }
  if (place.column >= line.value_column) {
    if (std::string problem = mended(line); !problem.empty()) return problem;
  }
  if (description.starts_with(kPrefix)) description.remove_prefix(kPrefix.size());
  if (description.starts_with("string") && description.find("control char") != description.npos) {
    return "a text ends where its line does; close its quotes";
  }
  return fmt::format("this is not TOML: {}", description);
}

}  // namespace fvlm::net
