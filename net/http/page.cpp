#include "net/http/page.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <page_files.hpp>  // generated: kPageFiles, pairs of a name and its bytes

namespace fvlm::net {
namespace {

std::string_view content_type(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kTypes = {{
      {".html", "text/html; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".svg", "image/svg+xml"},
  }};
  const auto type = std::find_if(kTypes.begin(), kTypes.end(),
                                 [&](const auto& known) { return name.ends_with(known.first); });
  return type == kTypes.end() ? "application/octet-stream" : type->second;
}

}  // namespace

std::optional<PageFile> page_file(std::string_view path) {
  constexpr std::string_view kFolder = "/static/";
  std::string_view name = "index.html";
  if (path.starts_with(kFolder)) {
    name = path.substr(kFolder.size());
  } else if (path != "/") {
    return std::nullopt;
  }
  for (const auto& [known, content] : kPageFiles) {
    if (known == name) return PageFile{content_type(known), content};
  }
  return std::nullopt;
}

}  // namespace fvlm::net
