// The paths that the server answers, and how they are asked: one table, of which 404, 405, OPTIONS
// and the labels of metrics come.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace fvlm::net {

struct Route {
  std::string_view path;
  bool has_more = false;  // paths below are it, too
  bool is_posted = false;

  // Whether a request with this method is answered: POST, or GET and HEAD.
  bool takes(std::string_view method) const;
};

// For "Allow", with OPTIONS; of no route, of all of them.
std::string_view allowed_methods(const Route* route);

std::span<const Route> routes();
// Null if nothing is there.
const Route* route_of(std::string_view path);
// All of them, for people: "/, /ws, ...".
std::string list_of_routes();

}  // namespace fvlm::net
