#include "net/api/openai_answer.hpp"

#include <utility>

#include "net/protocol/json.hpp"

namespace fvlm::net {
namespace {

Json usage_object(const Statistics& statistics) {
  return {{"prompt_tokens", statistics.prompt_tokens},
          {"completion_tokens", statistics.new_tokens},
          {"total_tokens", statistics.prompt_tokens + statistics.new_tokens},
          {"prompt_tokens_details", {{"cached_tokens", statistics.cached_tokens}}}};
}

Json model_object(std::string_view name, std::int64_t created) {
  return {{"id", name}, {"object", "model"}, {"created", created}, {"owned_by", "fastvlm"}};
}

std::string event(const Json& data) {
  return "data: " + dump(data) + "\n\n";
}

Json choice(const char* key, Json value, Json finish_reason) {
  return Json::array({{{"index", 0},
                       {key, std::move(value)},
                       {"logprobs", nullptr},
                       {"finish_reason", std::move(finish_reason)}}});
}

std::string chunk(const ChatAnswer& answer, Json choices, Json usage = nullptr) {
  Json data = {{"id", answer.id},
               {"object", "chat.completion.chunk"},
               {"created", answer.created},
               {"model", answer.model},
               {"choices", std::move(choices)}};
  if (answer.include_usage) data["usage"] = std::move(usage);
  return event(data);
}

}  // namespace

std::string write_answer(const ChatAnswer& answer, std::string_view text,
                         std::string_view finish_reason, const Statistics& statistics) {
  return dump({{"id", answer.id},
               {"object", "chat.completion"},
               {"created", answer.created},
               {"model", answer.model},
               {"choices",
                choice("message", {{"role", "assistant"}, {"content", text}, {"refusal", nullptr}},
                       finish_reason)},
               {"usage", usage_object(statistics)}});
}

std::string first_event(const ChatAnswer& answer) {
  return chunk(answer, choice("delta", {{"role", "assistant"}, {"content", ""}}, nullptr));
}

std::string text_event(const ChatAnswer& answer, std::string_view text) {
  return chunk(answer, choice("delta", {{"content", text}}, nullptr));
}

std::string last_events(const ChatAnswer& answer, std::string_view finish_reason,
                        const Statistics& statistics) {
  std::string events = chunk(answer, choice("delta", Json::object(), finish_reason));
  if (answer.include_usage) events += chunk(answer, Json::array(), usage_object(statistics));
  return events + "data: [DONE]\n\n";
}

std::string error_event(const ApiError& error) {
  return event(error_object(error));
}

std::string write_model(std::string_view name, std::int64_t created) {
  return dump(model_object(name, created));
}

std::string write_models(std::string_view name, std::int64_t created) {
  return dump({{"object", "list"}, {"data", Json::array({model_object(name, created)})}});
}

}  // namespace fvlm::net
