// What is wrong with a request of a program, as OpenAI's API says it.
#pragma once

#include <string>

#include "net/http/http.hpp"
#include "net/protocol/json.hpp"

namespace fvlm::net {

// {"error": {...}}: `type`, `param` and `code` are for programs.
struct ApiError {
  int status = 400;
  std::string message{};
  std::string type = "invalid_request_error";
  std::string param{};  // the field that is wrong, if any
  std::string code{};
};
HttpResponse error_response(const ApiError& error);
// The same as JSON.
Json error_object(const ApiError& error);

}  // namespace fvlm::net
