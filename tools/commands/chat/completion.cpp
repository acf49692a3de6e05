#include "tools/commands/chat/completion.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "tools/commands/shared/inputs.hpp"

namespace fvlm {
namespace {

namespace fs = std::filesystem;

// How all of them go on after `typed`.
std::string common_rest(const std::vector<std::string>& choices, std::size_t typed) {
  std::string common = choices.front();
  for (const std::string& choice : choices) {
    const auto end = std::mismatch(common.begin(), common.end(), choice.begin(), choice.end());
    common.erase(end.first, common.end());
  }
  while (!common.empty() && choices.size() > 1 && (common.back() & 0x80) != 0) {
    common.pop_back();  // whole characters
  }
  return common.size() > typed ? common.substr(typed) : "";
}

Completion completion_of(std::vector<std::string> choices, std::size_t typed) {
  if (choices.empty()) return {};
  std::sort(choices.begin(), choices.end());
  return {common_rest(choices, typed), std::move(choices)};
}

// The names in the folder that begin as `path` ends; folders end in a slash.
Completion complete_path(const std::string& path, bool pictures) {
  const std::size_t slash = path.rfind('/');
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  const fs::path folder = slash == std::string::npos ? "." : typed_path(path.substr(0, slash + 1));
  std::vector<std::string> choices;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::string entry = at->path().filename().string();
    if (!entry.starts_with(name) || (entry.starts_with('.') && name.empty())) continue;
    std::error_code none;
    const bool is_folder = at->is_directory(none);
    if (is_folder) entry += '/';
    if (is_folder || !pictures || has_picture_ending(entry)) choices.push_back(entry);
  }
  return completion_of(std::move(choices), name.size());
}

}  // namespace

Completion complete_chat_line(std::string_view before_cursor,
                              const std::vector<std::string>& commands) {
  const std::string line(before_cursor);
  for (const char* command : {"/image ", "/save "}) {
    if (!line.starts_with(command)) continue;
    return complete_path(line.substr(std::string_view(command).size()), command[1] == 'i');
  }
  if (!line.starts_with('/') || line.find(' ') != std::string::npos) return {};
  std::vector<std::string> choices;
  for (const std::string& command : commands) {
    if (command.starts_with(line)) choices.push_back(command + " ");
  }
  return completion_of(std::move(choices), line.size());
}

std::string typed_path(std::string_view typed) {
  constexpr std::string_view kBlanks = " \t\r";
  const std::size_t begin = typed.find_first_not_of(kBlanks);
  if (begin == typed.npos) return {};
  typed = typed.substr(begin, typed.find_last_not_of(kBlanks) + 1 - begin);
  const bool quoted = typed.size() > 2 && typed.front() == typed.back() &&
                      (typed.front() == '\'' || typed.front() == '"');
  if (quoted) typed = typed.substr(1, typed.size() - 2);
  const char* const home = std::getenv("HOME");
  if (typed.starts_with("~/") && home != nullptr) {
    return home + std::string(typed.substr(1));
  }
  return std::string(typed);
}

}  // namespace fvlm
