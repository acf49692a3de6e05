// What is wrong with a request of a program, in the shape of the API that it came in.
#pragma once

#include <string>
#include <string_view>

#include "net/http/http.hpp"
#include "net/protocol/json.hpp"

namespace fvlm::net {

// `type`, `param` and `code` are for programs.
struct ApiError {
  int status = 400;
  std::string message{};
  std::string type = "invalid_request_error";
  std::string param{};  // the field that is wrong, if any
  std::string code{};
};

// Whether a path is of an API; of Ollama's, whose errors have another shape than OpenAI's.
bool is_api_path(std::string_view path);
bool is_ollama_path(std::string_view path);

// The response to a request for `path`.
HttpResponse error_response(const ApiError& error, std::string_view path);
// {"error": {...}} as OpenAI's API has it.
Json error_object(const ApiError& error);
// {"error": "..."} as Ollama's has it, with the field that is wrong.
Json ollama_error_object(const ApiError& error);

}  // namespace fvlm::net
