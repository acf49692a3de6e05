// The files of the page in net/page, which CMake puts into the program.
#pragma once

#include <optional>
#include <string_view>

namespace fvlm::net {

struct PageFile {
  std::string_view content_type;
  std::string_view content;
};

// The file that a path of the server stands for: "/" or "/static/NAME".
std::optional<PageFile> page_file(std::string_view path);

}  // namespace fvlm::net
