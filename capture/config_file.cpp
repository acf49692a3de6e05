#include "capture/config_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <set>
#include <utility>

#include "net/command_line/config_file.hpp"
#include "net/command_line/config_flags.hpp"

namespace fvlm::capture {
namespace {

constexpr char kTable[] = "camera";

const net::ConfigEntry* find(const net::ConfigEntries& entries, const char* key) {
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [&](const net::ConfigEntry& entry) { return entry.key == key; });
  return found == entries.end() ? nullptr : &*found;
}

bool has_key(const CLI::App& app, const std::string& key) {
  const std::vector<std::string> keys = net::config_keys(app);
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

void add_keys(CLI::App& app, CameraSettings& settings) {
  app.set_help_flag();
  add_table_flags(app, settings);
  add_camera_flags(app, settings);
  add_server_flags(app, settings);
}

// The first of the keys that stand in the wrong part of the file is named.
void check_part(const std::string& path, const net::ConfigEntries& entries, const CLI::App& here,
                const CLI::App& there, const char* problem) {
  for (const net::ConfigEntry& entry : entries) {
    if (has_key(here, entry.key) || !has_key(there, entry.key)) continue;
    throw net::ConfigError(path, entry.place, fmt::format("{} {}", entry.key, problem));
  }
}

FeedOptions camera_of(const std::string& path, const net::ConfigTable& table,
                      const CLI::App& program, CameraSettings settings) {
  CLI::App keys;
  add_keys(keys, settings);
  check_part(path, table.entries, keys, program,
             "is a setting of the program, not of a camera; write it above the first [[camera]]");
  net::apply_config(keys, path, table.entries);
  for (const char* key : {"name", "source"}) {
    if (find(table.entries, key) != nullptr) continue;
    throw net::ConfigError(path, table.place,
                           fmt::format("this camera has no {0}; add {0} = ...", key));
  }
  try {
    return feed_options(settings);
  } catch (const std::exception& error) {
    throw net::ConfigError(path, table.place, error.what());
  }
}

}  // namespace

std::vector<FeedOptions> apply_config_file(CLI::App& program, const std::string& path,
                                           const CameraSettings& settings) {
  const net::ConfigFile file = net::read_config_file(path, kTable);
  CLI::App keys;
  CameraSettings unused;
  add_keys(keys, unused);
  check_part(path, file.entries, program, keys,
             "is a setting of one camera; write it below a [[camera]]");
  net::apply_config(program, path, file.entries);
  if (!file.tables.empty() && !program.get_option("--source")->empty()) {
    throw net::ConfigError(path, file.tables.front().place,
                           "there is a source for the whole program, too; leave that one out, and "
                           "give each [[camera]] its own");
  }
  std::vector<FeedOptions> cameras;
  std::set<std::string> names;
  std::set<int> places;
  for (const net::ConfigTable& table : file.tables) {
    FeedOptions feed = camera_of(path, table, program, settings);
    if (!names.insert(feed.view.name).second) {
      throw net::ConfigError(
          path, find(table.entries, "name")->place,
          fmt::format("another camera is called {}; give each its own name", feed.view.name));
    }
    const net::ConfigEntry* const place = find(table.entries, "place");
    if (place == nullptr) {
      feed.view.place = static_cast<int>(cameras.size()) + 1;
    } else if (!places.insert(feed.view.place).second) {
      throw net::ConfigError(
          path, place->place,
          fmt::format("another camera has place {}; give each its own", feed.view.place));
    }
    cameras.push_back(std::move(feed));
  }
  return cameras;
}

}  // namespace fvlm::capture
