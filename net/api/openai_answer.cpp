#include "net/api/openai_answer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "net/protocol/json.hpp"

namespace fvlm::net {
namespace {

constexpr double kLeastLogprob = -9999;  // what OpenAI's API has for less

Json usage_object(const ChatUsage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.new_tokens},
          {"total_tokens", usage.prompt_tokens + usage.new_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
}

// "max_model_len" is vLLM's name.
Json model_object(const ServedModel& model) {
  return {{"id", model.name},
          {"object", "model"},
          {"created", model.created},
          {"owned_by", "fastvlm"},
          {"root", model.folder},
          {"max_model_len", model.context_tokens},
          {"max_completion_tokens", model.max_answer_tokens},
          {"image_tokens", model.tokens_of_image}};
}

std::string event(const Json& data) {
  return "data: " + dump(data) + "\n\n";
}

// A token that is not of text has no bytes.
Json token_object(const TokenLogprob& one) {
  Json bytes;
  if (!one.control) {
    bytes = Json::array();
    for (const char c : one.text) bytes.push_back(static_cast<unsigned char>(c));
  }
  return {{"token", one.text},
          {"logprob", std::max(one.logprob, kLeastLogprob)},
          {"bytes", std::move(bytes)}};
}

Json logprobs_object(std::span<const TokenLogprobs> tokens) {
  Json content = Json::array();
  for (const TokenLogprobs& token : tokens) {
    Json one = token_object(token.chosen);
    one["top_logprobs"] = Json::array();
    for (const TokenLogprob& other : token.top) one["top_logprobs"].push_back(token_object(other));
    content.push_back(std::move(one));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

// Its id is the response's with the answer's number: there is one call in each.
Json call_object(const ChatAnswer& answer, std::size_t index, const ToolCall& call) {
  return {{"id", fmt::format("call-{}-{}", answer.id, index)},
          {"type", "function"},
          {"function", {{"name", call.name}, {"arguments", call.arguments}}}};
}

Json choice(std::size_t index, const char* key, Json value, Json logprobs, Json finish_reason) {
  return {{"index", index},
          {key, std::move(value)},
          {"logprobs", std::move(logprobs)},
          {"finish_reason", std::move(finish_reason)}};
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

std::string delta(const ChatAnswer& answer, std::size_t index, Json value, Json logprobs = nullptr,
                  Json finish_reason = nullptr) {
  return chunk(answer, Json::array({choice(index, "delta", std::move(value), std::move(logprobs),
                                           std::move(finish_reason))}));
}

}  // namespace

std::string write_answer(const ChatAnswer& answer, std::span<const ChatChoice> choices,
                         const ChatUsage& usage) {
  Json all = Json::array();
  for (const ChatChoice& one : choices) {
    Json message = {{"role", "assistant"}, {"content", one.text}, {"refusal", nullptr}};
    if (one.call != nullptr) {
      message["content"] = nullptr;
      message["tool_calls"] = Json::array({call_object(answer, all.size(), *one.call)});
    }
    all.push_back(choice(all.size(), "message", std::move(message),
                         answer.include_logprobs ? logprobs_object(one.logprobs) : Json(),
                         one.finish_reason));
  }
  return dump({{"id", answer.id},
               {"object", "chat.completion"},
               {"created", answer.created},
               {"model", answer.model},
               {"choices", std::move(all)},
               {"usage", usage_object(usage)}});
}

std::string first_event(const ChatAnswer& answer, std::size_t index) {
  return delta(answer, index, {{"role", "assistant"}, {"content", ""}});
}

std::string piece_event(const ChatAnswer& answer, std::size_t index, std::string_view text,
                        std::span<const TokenLogprobs> logprobs) {
  return delta(answer, index, {{"content", text}},
               answer.include_logprobs ? logprobs_object(logprobs) : Json());
}

std::string call_event(const ChatAnswer& answer, std::size_t index, const ToolCall& call) {
  Json one = {{"index", 0}};
  one.update(call_object(answer, index, call));
  return delta(answer, index, {{"tool_calls", Json::array({std::move(one)})}});
}

std::string finish_event(const ChatAnswer& answer, std::size_t index,
                         std::string_view finish_reason) {
  return delta(answer, index, Json::object(), nullptr, finish_reason);
}

std::string last_events(const ChatAnswer& answer, const ChatUsage& usage) {
  std::string events;
  if (answer.include_usage) events = chunk(answer, Json::array(), usage_object(usage));
  return events + "data: [DONE]\n\n";
}

std::string error_event(const ApiError& error) {
  return event(error_object(error));
}

std::string write_model(const ServedModel& model) {
  return dump(model_object(model));
}

std::string write_models(const ServedModel& model) {
  return dump({{"object", "list"}, {"data", Json::array({model_object(model)})}});
}

}  // namespace fvlm::net
