// What Tab completes in a chat: its commands, and the paths that some of them take.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/commands/chat/line_editor.hpp"

namespace fvlm {

// `commands`: with their slash, e.g. "/image". /image takes folders and pictures, /save any file.
Completion complete_chat_line(std::string_view before_cursor,
                              const std::vector<std::string>& commands);

// The file that somebody means who types or drops a path: ~ is the home folder; quotes around it,
// as terminals add them, and blanks at its ends go.
std::string typed_path(std::string_view typed);

}  // namespace fvlm
