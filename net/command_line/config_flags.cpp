#include "net/command_line/config_flags.hpp"

#include <fmt/format.h>

#include <map>

#include "net/command_line/config_syntax.hpp"
#include "net/command_line/flag_checks.hpp"
#include "net/command_line/suggestions.hpp"
#include "net/http/one_line.hpp"

namespace fvlm::net {
namespace {

using Kind = ConfigValue::Kind;

CLI::Option* find_flag(CLI::App& app, const std::string& key) {
  CLI::Option* const flag = app.get_option_no_throw("--" + key);
  return flag != nullptr && flag->get_configurable() ? flag : nullptr;
}

// Why the flag does not take a value of this kind, and how it should be written; or nothing.
std::string wrong_kind(const CLI::Option& flag, const std::string& key, const ConfigValue& value) {
  if (flag.get_expected_min() == 0) {
    return value.kind == Kind::kBoolean ? ""
                                        : fmt::format("expected true or false: {} = true", key);
  }
  const std::string type = flag.get_type_name();
  if (type.starts_with("TEXT") && value.kind != Kind::kText) {
    return "expected a text in quotes: " + quoted_line(key, value.text);
  }
  const bool is_integer = value.kind == Kind::kInteger;
  if ((type.starts_with("INT") || type.starts_with("UINT")) && !is_integer) {
    return "expected a whole number, without quotes";
  }
  if (type.starts_with("FLOAT") && !is_integer && value.kind != Kind::kFloat) {
    return "expected a number, without quotes";
  }
  return {};
}

class Filler {
 public:
  Filler(CLI::App& app, const std::string& path) : app_(app), path_(path) {}

  void apply(const ConfigEntry& entry) {
    const std::string key = one_line(entry.key, kLongestQuote);
    CLI::Option* const flag = find_flag(app_, entry.key);
    if (flag == nullptr) {
      const std::string meant = nearest(entry.key, config_keys(app_));
      fail(entry.place,
           fmt::format("there is no key {}{}", key,
                       meant.empty() ? "; keys are the flags of --help without their dashes"
                                     : ": did you mean " + meant + "?"));
    }
    check(entry, key, *flag);
    if (const auto [first, is_new] = keys_.emplace(flag, entry.key); !is_new) {
      fail(entry.place,
           fmt::format("{} and {} are one flag; keep one of them", first->second, key));
    }
    if (flag->count() > 0 || entry.values.empty()) return;
    for (const CLI::Option* other : flag->get_excludes()) {
      if (other->count() == 0) continue;
      const auto found = keys_.find(other);
      if (found == keys_.end()) return;  // the command line's
      fail(entry.place,
           fmt::format("{} and {} exclude each other; keep one of them", found->second, key));
    }
    set(entry, *flag);
  }

 private:
  [[noreturn]] void fail(ConfigPlace place, const std::string& problem) const {
    throw ConfigError(path_, place, problem);
  }

  void check(const ConfigEntry& entry, const std::string& key, const CLI::Option& flag) const {
    if (entry.is_array && flag.get_expected_max() <= 1) {
      fail(entry.place, fmt::format("{} has one value, and no array", key));
    }
    for (const ConfigValue& value : entry.values) {
      const std::string problem = wrong_kind(flag, key, value);
      if (!problem.empty()) fail(value.place, fmt::format("{}: {}", key, problem));
    }
  }

  void set(const ConfigEntry& entry, CLI::Option& flag) const {
    try {
      if (flag.get_expected_min() == 0) {
        flag.add_result(flag.get_flag_value(entry.key, entry.values.front().text));
      } else {
        for (const ConfigValue& value : entry.values) flag.add_result(value.text);
      }
      flag.run_callback();
    } catch (const CLI::Error& error) {
      fail(entry.values.front().place, flag_problem(app_, error));
    }
  }

  CLI::App& app_;
  const std::string& path_;
  std::map<const CLI::Option*, std::string> keys_{};  // of the file: a flag may have several names
};

}  // namespace

std::vector<std::string> config_keys(const CLI::App& app) {
  std::vector<std::string> keys;
  for (const CLI::Option* flag : app.get_options()) {
    if (!flag->get_configurable()) continue;
    keys.insert(keys.end(), flag->get_lnames().begin(), flag->get_lnames().end());
  }
  return keys;
}

void apply_config(CLI::App& app, const std::string& path, const ConfigEntries& entries) {
  Filler filler(app, path);
  for (const ConfigEntry& entry : entries) filler.apply(entry);
}

}  // namespace fvlm::net
