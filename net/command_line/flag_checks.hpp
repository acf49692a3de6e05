// Checks of flags' values for CLI11, whose own say "Value 7x not in range 0 to 1.79769e+308", and
// its other messages: what is wrong, and what would be right.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "net/command_line/suggestions.hpp"

namespace fvlm {

// The number that a text is, as a whole; NaN if it is none.
inline double number_of(const std::string& text) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  const bool is_whole = !text.empty() && end == text.c_str() + text.size() &&
                        std::isspace(static_cast<unsigned char>(text.front())) == 0;
  return is_whole ? number : std::numeric_limits<double>::quiet_NaN();
}

// A number of this type that `is_right`; `right` says which those are: "from 1 to 8".
template <class Number, class IsRight>
CLI::Validator number_check(const std::string& right, const IsRight& is_right) {
  const auto check = [right, is_right](const std::string& value) -> std::string {
    const double number = number_of(value);
    const bool is_whole = number == std::floor(number);
    const bool has_type = std::is_floating_point_v<Number> ? std::isfinite(number) : is_whole;
    if (has_type && is_right(number)) return {};
    const char* kind = std::is_floating_point_v<Number> ? "number" : "whole number";
    return fmt::format("\"{}\" is not a {} {}", value, kind, right);
  };
  return {check, right, ""};
}

// From `least` to `most`, both included.
template <class Number>
CLI::Validator in_range(Number least, Number most) {
  return number_check<Number>(fmt::format("from {} to {}", least, most), [=](double number) {
    return number >= static_cast<double>(least) && number <= static_cast<double>(most);
  });
}

template <class Number = double>
CLI::Validator above_zero() {
  return number_check<Number>("above 0", [](double number) { return number > 0; });
}

template <class Number = double>
CLI::Validator not_negative() {
  return number_check<Number>("of 0 or more", [](double number) { return number >= 0; });
}

// One of a few names.
inline CLI::Validator one_of(std::vector<std::string> names) {
  const std::string all = fmt::format("{}", fmt::join(names, ", "));
  const auto check = [names = std::move(names), all](const std::string& value) -> std::string {
    if (std::find(names.begin(), names.end(), value) != names.end()) return {};
    return fmt::format("\"{}\" is none of {}", value, all);
  };
  return {check, all, ""};
}

// The names of a command's flags, with their dashes, without those that nobody types on purpose.
inline std::vector<std::string> flag_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

// That there is no such flag, and which was meant.
inline std::string unknown_flag(const std::string& typed, const CLI::App& command) {
  const std::string name = typed.substr(0, typed.find_first_of(" ="));
  return fmt::format("unknown flag {}{}", name, net::suggestion(name, flag_names(command)));
}

inline std::string given_too_often(const std::string& flag, std::string_view times) {
  return fmt::format("{} is given {} times, and has one value; keep one of them", flag, times);
}

// A problem, and where to read what is right.
inline std::string with_help(const std::string& problem, const std::string& command) {
  return fmt::format("{}{} {} --help", problem, problem.ends_with('?') ? " Run" : "; run", command);
}

// What is wrong with a command line, or with a flag in a file, in these words.
inline std::string flag_problem(const CLI::App& command, const CLI::Error& error) {
  std::string text = error.what();
  const auto named = [&command](const std::string& name) {
    return command.get_option_no_throw(name);
  };
  if (const std::string_view begin = "Could not convert: "; text.starts_with(begin)) {
    const std::string name = text.substr(begin.size(), text.find(" = ") - begin.size());
    const std::string value = text.substr(std::min(text.size(), text.find(" = ") + 3));
    const CLI::Option* option = named(name);
    const std::string type = option == nullptr ? "" : option->get_type_name();
    const char* kind = type.starts_with("INT")    ? "a whole number"
                       : type.starts_with("UINT") ? "a whole number of 0 or more"
                                                  : "a number";
    return fmt::format("{}: \"{}\" is not {}", name, value, kind);
  }
  if (error.get_name() == "ArgumentMismatch" && text.ends_with(" missing")) {
    const std::string name = text.substr(0, text.find(':'));
    const CLI::Option* option = named(name);
    const std::string shown = option == nullptr ? "" : option->get_option_text();
    const std::string value = shown.empty() ? "VALUE" : shown.substr(0, shown.find(' '));
    return fmt::format("{} needs a value: {} {}", name, name, value);
  }
  if (const std::string_view often = "At Most 1 required but received ";
      text.find(often) != text.npos) {
    const std::size_t at = text.find(often);
    return given_too_often(text.substr(0, text.find(':')), text.substr(at + often.size()));
  }
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError)) {
    // The first of them is the last in this text.
    const std::size_t flag = text.rfind(" -");
    const std::string name = text.substr((flag == text.npos ? text.rfind(' ') : flag) + 1);
    if (flag != text.npos) return unknown_flag(name, command);
    return "unexpected argument " + name.substr(0, name.find_first_of(" ="));
  }
  if (const std::string_view excludes = " excludes "; error.get_name() == "ExcludesError") {
    const std::size_t at = text.find(excludes);
    if (at == text.npos) return text;
    return fmt::format("{} and {} exclude each other; keep one of them", text.substr(0, at),
                       text.substr(at + excludes.size()));
  }
  return text;
}

}  // namespace fvlm
