#include "tools/commands/chat/history.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "runtime/support/new_files.hpp"

namespace fvlm {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kKept = 1000;

fs::path absolute_path_in(const char* variable) {
  const char* const value = std::getenv(variable);
  const fs::path path = value == nullptr ? "" : value;
  return path.is_absolute() ? path : fs::path();
}

std::string encoded(const std::string& line) {
  return nlohmann::json(line).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

// One write, so that lines of two chats do not mix.
bool write_private(const fs::path& file, int flags, const std::string& text) {
  const int descriptor = ::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
  if (descriptor < 0) return false;
  const bool is_private = ::fchmod(descriptor, 0600) == 0;
  const ssize_t written = is_private ? ::write(descriptor, text.data(), text.size()) : -1;
  ::close(descriptor);
  return written == static_cast<ssize_t>(text.size());
}

}  // namespace

fs::path chat_history_file() {
  fs::path state = absolute_path_in("XDG_STATE_HOME");
  if (const fs::path home = absolute_path_in("HOME"); state.empty() && !home.empty()) {
    state = home / ".local/state";
  }
  return state.empty() ? state : state / "fastvlm/chat_history";
}

std::vector<std::string> read_chat_history(const fs::path& file) {
  std::vector<std::string> lines;
  std::ifstream stream(file);
  for (std::string json; std::getline(stream, json);) {
    const nlohmann::json line = nlohmann::json::parse(json, nullptr, false);
    if (line.is_string()) lines.push_back(line.get<std::string>());
  }
  if (lines.size() <= 2 * kKept) return lines;
  lines.erase(lines.begin(), lines.end() - kKept);
  std::string text;
  for (const std::string& line : lines) text += encoded(line);
  if (write_private(partial_name(file), O_TRUNC, text)) {
    std::error_code ignored;
    fs::rename(partial_name(file), file, ignored);
  }
  return lines;
}

bool append_chat_history(const fs::path& file, const std::string& line) {
  std::error_code error;
  if (fs::create_directories(file.parent_path(), error)) {
    fs::permissions(file.parent_path(), fs::perms::owner_all, error);
  }
  return !error && write_private(file, O_APPEND, encoded(line));
}

}  // namespace fvlm
