#include "capture/config_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "net/process/config_lines.hpp"

namespace fvlm::capture {
namespace {

constexpr char kTable[] = "[[camera]]";

bool has_key(const CLI::App& app, const std::string& key) {
  const CLI::Option* const option = app.get_option_no_throw("--" + key);
  return option != nullptr && option->get_configurable();
}

std::string keys_of(const CLI::App& app) {
  std::string keys;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      if (has_key(app, name)) keys += (keys.empty() ? "" : ", ") + name;
    }
  }
  return keys;
}

// As on the command line: "--crop=0", "--crop=0", ...
std::vector<std::string> arguments_of(const std::vector<CLI::ConfigItem>& items) {
  std::vector<std::string> arguments;
  for (const CLI::ConfigItem& item : items) {
    for (const std::string& input : item.inputs) {
      arguments.push_back(fmt::format("--{}={}", item.name, input));
    }
  }
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes them
  return arguments;
}

const std::string* value_of(const std::vector<CLI::ConfigItem>& items, const char* key) {
  const auto found = std::find_if(items.begin(), items.end(),
                                  [&](const CLI::ConfigItem& item) { return item.name == key; });
  return found == items.end() || found->inputs.empty() ? nullptr : &found->inputs.front();
}

}  // namespace

std::string ConfigFile::path() const {
  const CLI::Option* const option = app_.get_config_ptr();
  return option->empty() ? "the file of settings" : option->as<std::string>();
}

std::vector<CLI::ConfigItem> ConfigFile::from_config(std::istream& input) const {
  const std::string text(std::istreambuf_iterator<char>(input), {});
  const std::string wrong = net::wrong_config_line(text, net::ConfigTables::kMayBe);
  if (!wrong.empty()) throw CLI::ConfigError(fmt::format("{}: {}", path(), wrong));
  std::vector<std::string> parts(1);  // the program's lines, then those of each table
  std::istringstream file(text);
  for (std::string line; std::getline(file, line);) {
    const std::string trimmed = CLI::detail::trim_copy(line);
    if (trimmed == kTable) {
      parts.emplace_back();
    } else if (!trimmed.empty() && trimmed.front() == '[' && trimmed.back() == ']') {
      throw CLI::ConfigError(
          fmt::format("{}: {}: there are no tables but {}", path(), trimmed, kTable));
    } else {
      parts.back() += line + "\n";
    }
  }
  std::vector<Items> all;
  for (const std::string& part : parts) {
    std::istringstream lines(part);
    all.push_back(CLI::ConfigTOML::from_config(lines));
  }
  for (const CLI::ConfigItem& item : all.front()) {
    if (has_key(app_, item.name)) continue;
    throw CLI::ConfigError(fmt::format(
        "{}: no setting is called {}; settings are the flags of "
        "fastvlm-camera --help without the dashes{}",
        path(), item.name,
        item.name == "name" || item.name == "title" || item.name == "place" || item.name == "size"
            ? fmt::format(", and this one belongs to a {}", kTable)
            : ""));
  }
  tables_.assign(std::next(all.begin()), all.end());
  return std::move(all.front());
}

std::vector<FeedOptions> ConfigFile::cameras(const CameraSettings& program) const {
  std::vector<FeedOptions> cameras;
  if (tables_.empty()) return cameras;
  if (!app_.get_option("--source")->empty()) {
    throw CLI::ConfigError(fmt::format(
        "{} has {} tables, and there is a source for the whole program, too; give each table its "
        "own, and leave that one out",
        path(), kTable));
  }
  std::set<std::string> names;
  std::set<int> places;
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    const std::string* const name = value_of(tables_[i], "name");
    const std::string where = fmt::format("{}: {} number {}{}", path(), kTable, i + 1,
                                          name == nullptr ? "" : fmt::format(" ({})", *name));
    try {
      FeedOptions feed = camera(tables_[i], program);
      if (!names.insert(feed.view.name).second) {
        throw std::runtime_error("another one has this name; give each its own");
      }
      if (feed.view.place == 0) feed.view.place = static_cast<int>(i) + 1;
      if (value_of(tables_[i], "place") != nullptr && !places.insert(feed.view.place).second) {
        throw std::runtime_error(
            fmt::format("another one has place {}; give each its own", feed.view.place));
      }
      cameras.push_back(std::move(feed));
    } catch (const CLI::ParseError& error) {
      throw CLI::ConfigError(fmt::format("{}: {}", where, error.what()));
    } catch (const std::exception& error) {
      throw CLI::ConfigError(fmt::format("{}: {}", where, error.what()));
    }
  }
  return cameras;
}

FeedOptions ConfigFile::camera(const Items& table, const CameraSettings& program) const {
  CameraSettings settings = program;
  CLI::App keys;
  keys.set_help_flag();
  add_table_flags(keys, settings);
  add_camera_flags(keys, settings);
  add_server_flags(keys, settings);
  for (const CLI::ConfigItem& item : table) {
    if (has_key(keys, item.name)) continue;
    throw std::runtime_error(
        has_key(app_, item.name)
            ? fmt::format("{} is a setting of the program, not of a camera; write it above the "
                          "first {}",
                          item.name, kTable)
            : fmt::format("no key is called {}; there are {}", item.name, keys_of(keys)));
  }
  for (const char* key : {"name", "source"}) {
    if (value_of(table, key) == nullptr)
      throw std::runtime_error(fmt::format("{} is missing", key));
  }
  // What a table says replaces the program's, and is not added to it.
  if (value_of(table, "mask") != nullptr) settings.masks.clear();
  if (value_of(table, "crop") != nullptr) settings.crop.clear();
  if (value_of(table, "flip") != nullptr) settings.flip.clear();
  keys.parse(arguments_of(table));
  return feed_options(settings);
}

}  // namespace fvlm::capture
