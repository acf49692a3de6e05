#include "tools/commands/shared/inputs.hpp"

#include <fmt/ranges.h>
#include <glob.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <new>
#include <system_error>
#include <utility>

#include "fvlm/error.hpp"

namespace fvlm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWildcards = "*?[{";

bool is_folder(const std::string& name) {
  std::error_code none;
  return fs::is_directory(name, none);
}

bool is_pattern(const std::string& name) {
  std::error_code none;
  return name.find_first_of(kWildcards) != std::string::npos &&
         !fs::exists(fs::symlink_status(name, none));
}

bool is_hidden(const fs::path& path) {
  return path.filename().native().starts_with('.');
}

// What is in a folder, sorted by name; `problem` says what kept us from reading it.
std::vector<fs::directory_entry> sorted_entries(const fs::path& folder, std::string& problem) {
  std::vector<fs::directory_entry> entries;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (!is_hidden(at->path())) entries.push_back(*at);
  }
  if (error) {
    problem = fmt::format("{}: the folder cannot be read: {}", folder.string(), error.message());
  }
  std::sort(entries.begin(), entries.end());
  return entries;
}

void walk(const fs::path& folder, const fs::path& below, Inputs& inputs) {
  std::string problem;
  for (const fs::directory_entry& entry : sorted_entries(folder, problem)) {
    std::error_code none;
    const fs::path name = below / entry.path().filename();
    if (entry.is_directory(none)) {
      if (!entry.is_symlink(none)) walk(entry.path(), name, inputs);
    } else if (entry.is_regular_file(none) && has_picture_ending(name)) {
      inputs.pictures.push_back({entry.path().string(), name});
    }
  }
  if (!problem.empty()) inputs.problems.push_back(problem);
}

void add_folder(const fs::path& folder, const fs::path& below, Inputs& inputs) {
  const std::size_t before = inputs.pictures.size() + inputs.problems.size();
  walk(folder, below, inputs);
  if (inputs.pictures.size() + inputs.problems.size() == before) {
    inputs.problems.push_back(fmt::format("{}: the folder holds no pictures ({})", folder.string(),
                                          fmt::join(picture_endings(), " ")));
  }
}

std::vector<std::string> matches_of(const std::string& pattern) {
  const std::unique_ptr<glob_t, void (*)(glob_t*)> found(new glob_t{}, [](glob_t* all) {
    globfree(all);
    delete all;
  });
  const int error = glob(pattern.c_str(), GLOB_BRACE | GLOB_NOSORT, nullptr, found.get());
  if (error == GLOB_NOSPACE) throw std::bad_alloc();
  std::vector<std::string> names(found->gl_pathv, found->gl_pathv + found->gl_pathc);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

// The folder that all matches of a pattern are below: its path before the first wildcard.
fs::path fixed_part(const std::string& pattern) {
  const std::size_t slash = pattern.rfind('/', pattern.find_first_of(kWildcards));
  return slash == std::string::npos ? "" : pattern.substr(0, slash + 1);
}

void add_pattern(const std::string& pattern, Inputs& inputs) {
  const std::vector<std::string> names = matches_of(pattern);
  if (names.empty()) inputs.problems.push_back(pattern + ": no file has a name like this");
  const std::size_t base = fixed_part(pattern).native().size();
  for (const std::string& name : names) {
    const fs::path below = name.substr(base);
    if (is_folder(name)) {
      add_folder(name, below, inputs);
    } else {
      inputs.pictures.push_back({name, below});
    }
  }
}

}  // namespace

const std::vector<std::string>& picture_endings() {
  static const std::vector<std::string> endings = {".jpg", ".jpeg", ".png",  ".webp",
                                                   ".gif", ".heic", ".heif", ".avif"};
  return endings;
}

bool has_picture_ending(const fs::path& file) {
  std::string ending = file.extension().string();
  for (char& c : ending) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const std::vector<std::string>& endings = picture_endings();
  return std::find(endings.begin(), endings.end(), ending) != endings.end();
}

std::string listed_endings() {
  const std::vector<std::string>& all = picture_endings();
  return fmt::format("{} or {}", fmt::join(all.begin(), all.end() - 1, ", "), all.back());
}

bool names_one_picture(const std::vector<std::string>& arguments) {
  return arguments.size() == 1 && !is_folder(arguments.front()) && !is_pattern(arguments.front());
}

Inputs find_inputs(const std::vector<std::string>& arguments) {
  if (std::count(arguments.begin(), arguments.end(), kStandardInput) > 1) {
    throw Error("-: standard input is one picture, so name it once");
  }
  Inputs inputs;
  for (const std::string& argument : arguments) {
    if (argument == kStandardInput) {
      inputs.pictures.push_back({argument, "stdin"});
    } else if (is_folder(argument)) {
      add_folder(argument, "", inputs);
    } else if (is_pattern(argument)) {
      add_pattern(argument, inputs);
    } else {
      inputs.pictures.push_back({argument, fs::path(argument).filename()});
    }
  }
  return inputs;
}

}  // namespace fvlm
