#include "net/api/api_error.hpp"

#include <fmt/format.h>

namespace fvlm::net {

bool is_api_path(std::string_view path) {
  return path.starts_with("/v1/") || is_ollama_path(path);
}

bool is_ollama_path(std::string_view path) {
  return path.starts_with("/api/");
}

namespace {

// A message that does not name its field has it put in front.
std::string named(const ApiError& error) {
  const bool is_named = error.param.empty() || error.message.find(error.param) != std::string::npos;
  return is_named ? error.message : fmt::format("{}: {}", error.param, error.message);
}

}  // namespace

Json error_object(const ApiError& error) {
  const auto text_or_null = [](const std::string& text) {
    return text.empty() ? Json() : Json(text);
  };
  return {{"error",
           {{"message", named(error)},
            {"type", error.type},
            {"param", text_or_null(error.param)},
            {"code", text_or_null(error.code)}}}};
}

Json ollama_error_object(const ApiError& error) {
  return {{"error", named(error)}};
}

HttpResponse error_response(const ApiError& error, std::string_view path) {
  const Json body = is_ollama_path(path) ? ollama_error_object(error) : error_object(error);
  HttpResponse response{error.status, "application/json", dump(body), {}};
  response.reason = error.code.empty() ? "bad_request" : error.code;
  response.detail = error.message;
  if (error.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  if (error.status == 429 || error.status == 503) response.headers.emplace_back("Retry-After", "1");
  return response;
}

}  // namespace fvlm::net
