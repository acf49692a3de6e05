// What was typed in chats before: a line of JSON for each, in a file that only its user can read.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace fvlm {

// fastvlm/chat_history in $XDG_STATE_HOME or ~/.local/state; empty if neither is known.
std::filesystem::path chat_history_file();

// The last ones, the oldest first; none if the file is not there. A file that has grown long is
// cut.
std::vector<std::string> read_chat_history(const std::filesystem::path& file);

// Adds one, and makes file and folder if they are not there. False if that cannot be done.
bool append_chat_history(const std::filesystem::path& file, const std::string& line);

}  // namespace fvlm
