#include "net/http/web_page.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace fvlm::net {
namespace {

std::string_view content_type(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kTypes = {{
      {".html", "text/html; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".svg", "image/svg+xml"},
      {".jpg", "image/jpeg"},
  }};
  const auto type = std::find_if(kTypes.begin(), kTypes.end(),
                                 [&](const auto& known) { return name.ends_with(known.first); });
  return type == kTypes.end() ? "application/octet-stream" : type->second;
}

}  // namespace

WebPage::WebPage(std::span<const WebFile> files, std::string_view media)
    : files_(files),
      policy_("default-src 'self'; " + std::string(media) +
              "; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors "
              "'none'") {}

std::optional<HttpResponse> WebPage::response(std::string_view path) const {
  const WebFile* file = find(path);
  if (file == nullptr) return std::nullopt;
  return HttpResponse{200,
                      std::string(content_type(file->name)),
                      std::string(file->content),
                      {{"Cache-Control", "no-cache"},
                       {"X-Content-Type-Options", "nosniff"},
                       {"Content-Security-Policy", policy_}}};
}

const WebFile* WebPage::find(std::string_view path) const {
  constexpr std::string_view kFolder = "/static/";
  std::string_view name = "index.html";
  if (path.starts_with(kFolder)) {
    name = path.substr(kFolder.size());
  } else if (path != "/") {
    return nullptr;
  }
  const auto file = std::find_if(files_.begin(), files_.end(),
                                 [&](const WebFile& each) { return each.name == name; });
  return file == files_.end() ? nullptr : &*file;
}

}  // namespace fvlm::net
