#include "net/service/model_service.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "net/api/fields.hpp"
#include "net/api/ollama_answer.hpp"
#include "net/api/ollama_request.hpp"
#include "net/api/openai_answer.hpp"
#include "net/http/one_line.hpp"
#include "net/protocol/json.hpp"
#include "net/protocol/percent.hpp"

namespace fvlm::net {
namespace {

constexpr std::string_view kModels = "/v1/models";
constexpr std::size_t kLongestQuestion = 4096;  // bytes of /api/show's body

constexpr std::array kShowFields = {
    KnownField{"model"},
    KnownField{"name"},
    KnownField{"verbose", kAnything, "there is no more to say"},
    KnownField{"system", R"([""])"},
    KnownField{"template", R"([""])"},
    KnownField{"options", "[{}]"},
};

HttpResponse json_response(std::string body) {
  return {200, "application/json", std::move(body), {}};
}

}  // namespace

ModelService::ModelService(const EngineInfo& info, const std::string& name,
                           std::int64_t max_answer_tokens)
    : model_{.name = name.empty() ? info.model : name,
             .folder = info.model,
             .precision = info.precision,
             .device = info.device,
             .created = std::chrono::duration_cast<std::chrono::seconds>(
                            std::chrono::system_clock::now().time_since_epoch())
                            .count(),
             .context_tokens = info.context_tokens,
             .tokens_of_image = info.image_tokens,
             .vocabulary = info.vocabulary,
             .max_answer_tokens = std::min(max_answer_tokens, info.context_tokens),
             .parameters = info.parameters,
             .weight_bytes = info.weight_bytes} {}

bool ModelService::serves(std::string_view name) const {
  return name.empty() || name == model_.name || name == model_.folder;
}

ApiError ModelService::not_found(std::string_view asked) const {
  return {.status = 404,
          .message = fmt::format("there is no model \"{}\" here, only \"{}\"",
                                 one_line(asked, kLongestQuote), model_.name),
          .param = "model",
          .code = "model_not_found"};
}

HttpResponse ModelService::answer(const HttpRequest& request) const {
  if (request.path == "/api/show") return show(request);
  for (const auto& [path, write] :
       {std::pair("/api/tags", &write_ollama_tags), std::pair("/api/ps", &write_ollama_running)}) {
    if (request.path == path) return json_response(write(model_));
  }
  if (request.path == "/api/version") return json_response(write_ollama_version());
  return answer_models(request);
}

HttpResponse ModelService::answer_models(const HttpRequest& request) const {
  const std::string_view rest = std::string_view(request.path).substr(kModels.size());
  const std::string asked = percent_decoded(rest.substr(std::min<std::size_t>(1, rest.size())));
  if (asked.empty()) return json_response(write_models(model_));
  if (!serves(asked)) return error_response(not_found(asked), request.path);
  return json_response(write_model(model_));
}

HttpResponse ModelService::show(const HttpRequest& request) const {
  const auto refuse = [&](const ApiError& error) { return error_response(error, request.path); };
  if (request.body.size() > kLongestQuestion) {
    return refuse(
        {.message = fmt::format("the body must have at most {} bytes", kLongestQuestion)});
  }
  const auto [body, problem] = parse_object(request.body);
  if (!problem.empty()) return refuse({.message = "the body " + problem});
  if (const auto error = check_fields(body, "", {kShowFields})) return refuse(*error);
  std::string name;
  for (const char* key : {"name", "model"}) {
    if (const auto error = read_text(body, key, name)) return refuse(*error);
  }
  if (!serves(without_tag(name))) return refuse(not_found(name));
  return json_response(write_ollama_model(model_));
}

}  // namespace fvlm::net
