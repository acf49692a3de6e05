#include "net/process/config_lines.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace fvlm::net {
namespace {

constexpr std::string_view kSpaces = " \t\r";

void skip_spaces(std::string_view& rest) {
  rest.remove_prefix(std::min(rest.find_first_not_of(kSpaces), rest.size()));
}

// Takes a text in quotes; in double ones a backslash escapes.
std::string take_quoted(std::string_view& rest) {
  const char quote = rest.front();
  std::size_t i = 1;
  while (i < rest.size() && rest[i] != quote) i += quote == '"' && rest[i] == '\\' ? 2 : 1;
  if (i >= rest.size()) return fmt::format("a text has no closing {}", quote);
  rest.remove_prefix(i + 1);
  return {};
}

std::string take_value(std::string_view& rest);

std::string take_array(std::string_view& rest) {
  constexpr char kNoEnd[] = "an array must end with ] on its line";
  rest.remove_prefix(1);
  while (true) {
    skip_spaces(rest);
    if (rest.starts_with(']')) break;
    if (std::string wrong = take_value(rest); !wrong.empty()) return wrong;
    skip_spaces(rest);
    if (rest.starts_with(']')) break;
    if (!rest.starts_with(',')) return kNoEnd;
    rest.remove_prefix(1);
  }
  rest.remove_prefix(1);
  return {};
}

// Takes a value from the front; says what is wrong with it.
std::string take_value(std::string_view& rest) {
  if (rest.starts_with('"') || rest.starts_with('\'')) return take_quoted(rest);
  if (rest.starts_with('[')) return take_array(rest);
  const std::size_t end = std::min(rest.find_first_of(" \t\r,]#"), rest.size());
  const std::string_view bare = rest.substr(0, end);
  if (bare.empty()) return "a value is missing";
  if (bare.find_first_of("\"'[") != bare.npos) return "a text must stand in quotes";
  rest.remove_prefix(end);
  return {};
}

std::string wrong_line(std::string_view rest, ConfigTables tables) {
  skip_spaces(rest);
  if (rest.empty() || rest.starts_with('#')) return {};
  if (rest.starts_with('[')) {
    return tables == ConfigTables::kMayBe ? "" : "there are no tables in this file";
  }
  const std::size_t equals = rest.find('=');
  const std::string_view key = rest.substr(0, equals);
  if (equals == rest.npos || key.find_first_of("\"'[]#") != key.npos) {
    return "expected a flag without its dashes, = and a value";
  }
  rest.remove_prefix(equals + 1);
  skip_spaces(rest);
  if (std::string wrong = take_value(rest); !wrong.empty()) return wrong;
  skip_spaces(rest);
  return rest.empty() || rest.starts_with('#') ? "" : "there is something behind the value";
}

}  // namespace

std::string wrong_config_line(std::string_view text, ConfigTables tables) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (const std::string wrong = wrong_line(line, tables); !wrong.empty()) {
      return fmt::format("line {}: {}", number, wrong);
    }
  }
  return {};
}

}  // namespace fvlm::net
