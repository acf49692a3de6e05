// A web page that is part of a program: the server has one, and the camera. CMake puts the files
// there (web_page.cmake).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "net/http/http.hpp"

namespace fvlm::net {

struct WebFile {
  std::string_view name;  // e.g. "index.html", which is the page
  std::string_view content;
};

class WebPage {
 public:
  // `media`: what the page may show that is no file of it, as directives of its policy for
  // browsers, e.g. "img-src 'self' blob:".
  WebPage(std::span<const WebFile> files, std::string_view media);

  // Whether a path stands for a file: "/" or "/static/NAME".
  bool has(std::string_view path) const { return find(path) != nullptr; }
  // That file.
  std::optional<HttpResponse> response(std::string_view path) const;

 private:
  const WebFile* find(std::string_view path) const;

  std::span<const WebFile> files_;
  std::string policy_;
};

}  // namespace fvlm::net
