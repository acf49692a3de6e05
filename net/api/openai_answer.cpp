#include "net/api/openai_answer.hpp"

#include <utility>

#include "net/api/openai_parts.hpp"
#include "net/protocol/json.hpp"

namespace fvlm::net {
namespace {

Json choice(std::size_t index, const char* key, Json value, Json logprobs, Json reason) {
  return {{"index", index},
          {key, std::move(value)},
          {"logprobs", std::move(logprobs)},
          {"finish_reason", std::move(reason)}};
}

class ChatCompletionWriter final : public AnswerWriter {
 public:
  ChatCompletionWriter(bool include_usage, bool include_logprobs)
      : include_usage_(include_usage), include_logprobs_(include_logprobs) {}

  std::string whole(std::span<const AnswerChoice> choices, const AnswerUsage& usage) override {
    Json all = Json::array();
    for (const AnswerChoice& one : choices) {
      Json message = {{"role", "assistant"}, {"content", one.text}, {"refusal", nullptr}};
      if (one.call != nullptr) {
        message["content"] = nullptr;
        message["tool_calls"] = Json::array({call_object(all.size(), *one.call)});
      }
      all.push_back(choice(all.size(), "message", std::move(message), logprobs_object(one.logprobs),
                           finish_reason(one.end)));
    }
    Json body = object("chat.completion", std::move(all));
    body["usage"] = usage_object(usage);
    return dump(body);
  }

  std::string first(std::size_t answers) override {
    std::string events;
    for (std::size_t i = 0; i < answers; ++i) {
      events += delta(i, {{"role", "assistant"}, {"content", ""}});
    }
    return events;
  }

  std::string piece(std::size_t index, std::string_view text,
                    std::span<const TokenLogprobs> logprobs) override {
    return delta(index, {{"content", text}}, logprobs_object(logprobs));
  }

  std::string end_of(std::size_t index, const AnswerChoice& one) override {
    std::string events;
    if (one.call != nullptr) {
      Json call = {{"index", 0}};
      call.update(call_object(index, *one.call));
      events = delta(index, {{"tool_calls", Json::array({std::move(call)})}});
    }
    return events + delta(index, Json::object(), nullptr, finish_reason(one.end));
  }

  std::string last(const AnswerUsage& usage) override {
    std::string events;
    if (include_usage_) events = chunk(Json::array(), usage_object(usage));
    events.append(kDone);
    return events;
  }

  std::string failure(const ApiError& error) override {
    return data_event(error_object(error)).append(kDone);
  }

 private:
  Json object(const char* type, Json choices) const {
    return {{"id", "chatcmpl-" + head().id},
            {"object", type},
            {"created", head().created},
            {"model", head().model},
            {"choices", std::move(choices)}};
  }

  std::string chunk(Json choices, Json usage = nullptr) const {
    Json data = object("chat.completion.chunk", std::move(choices));
    if (include_usage_) data["usage"] = std::move(usage);
    return data_event(data);
  }

  std::string delta(std::size_t index, Json value, Json logprobs = nullptr,
                    Json reason = nullptr) const {
    return chunk(Json::array(
        {choice(index, "delta", std::move(value), std::move(logprobs), std::move(reason))}));
  }

  Json logprobs_object(std::span<const TokenLogprobs> tokens) const {
    if (!include_logprobs_) return nullptr;
    return {{"content", token_array(tokens)}, {"refusal", nullptr}};
  }

  Json call_object(std::size_t index, const ToolCall& call) const {
    return {{"id", call_id(head(), index)},
            {"type", "function"},
            {"function", {{"name", call.name}, {"arguments", call.arguments}}}};
  }

  bool include_usage_;
  bool include_logprobs_;
};

// "max_model_len" is vLLM's name.
Json model_object(const ServedModel& model) {
  return {{"id", model.name},
          {"object", "model"},
          {"created", model.created},
          {"owned_by", "fastvlm"},
          {"root", model.folder},
          {"max_model_len", model.context_tokens},
          {"max_completion_tokens", model.max_answer_tokens},
          {"image_tokens", model.tokens_of_image},
          {"vocabulary", model.vocabulary},
          {"device", model.device},
          {"precision", model.precision}};
}

}  // namespace

std::shared_ptr<AnswerWriter> write_chat_completion(bool include_usage, bool include_logprobs) {
  return std::make_shared<ChatCompletionWriter>(include_usage, include_logprobs);
}

std::string write_model(const ServedModel& model) {
  return dump(model_object(model));
}

std::string write_models(const ServedModel& model) {
  return dump({{"object", "list"}, {"data", Json::array({model_object(model)})}});
}

}  // namespace fvlm::net
