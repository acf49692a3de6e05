#include "net/api/responses_answer.hpp"

#include <fmt/format.h>

#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "net/api/fields.hpp"
#include "net/api/openai_parts.hpp"

namespace fvlm::net {
namespace {

Json output_text(std::string_view text, Json logprobs) {
  return {{"type", "output_text"},
          {"text", text},
          {"annotations", Json::array()},
          {"logprobs", std::move(logprobs)}};
}

Json usage_of_response(const AnswerUsage& usage) {
  return {
      {"input_tokens", usage.prompt_tokens},
      {"input_tokens_details", {{"cached_tokens", usage.cached_tokens}, {"cache_write_tokens", 0}}},
      {"output_tokens", usage.new_tokens},
      {"output_tokens_details", {{"reasoning_tokens", 0}}},
      {"total_tokens", usage.prompt_tokens + usage.new_tokens}};
}

class ResponseWriter final : public AnswerWriter {
 public:
  ResponseWriter(Json settings, bool include_logprobs)
      : settings_(std::move(settings)), include_logprobs_(include_logprobs) {}

  std::string whole(std::span<const AnswerChoice> choices, const AnswerUsage& usage) override {
    for (const AnswerChoice& one : choices) {
      output_.push_back(one.call != nullptr
                            ? call_item(*one.call)
                            : message_item(one.end, output_text(one.text, tokens(one.logprobs))));
      end_ = one.end;
    }
    return dump(response(status(), usage));
  }

  std::string first(std::size_t) override {
    std::string events =
        event("response.created", {{"response", response("in_progress", std::nullopt)}});
    events += event("response.in_progress", {{"response", response("in_progress", std::nullopt)}});
    return events;
  }

  std::string piece(std::size_t, std::string_view text,
                    std::span<const TokenLogprobs> logprobs) override {
    std::string events = open_message();
    Json more = tokens(logprobs);
    events += event("response.output_text.delta", {{"item_id", item_id()},
                                                   {"output_index", 0},
                                                   {"content_index", 0},
                                                   {"delta", text},
                                                   {"logprobs", more}});
    for (Json& one : more) logprobs_.push_back(std::move(one));
    return events;
  }

  std::string end_of(std::size_t, const AnswerChoice& one) override {
    end_ = one.end;
    return one.call != nullptr ? end_of_call(*one.call) : end_of_message(one);
  }

  std::string last(const AnswerUsage& usage) override {
    return event(std::string("response.") + status(), {{"response", response(status(), usage)}});
  }

  std::string failure(const ApiError& error) override {
    Json failed = response("failed", std::nullopt);
    failed["error"] = {{"code", error.code}, {"message", error.message}};
    return event("response.failed", {{"response", std::move(failed)}});
  }

 private:
  const char* status() const { return end_ == AnswerEnd::kLength ? "incomplete" : "completed"; }

  Json response(const char* status, const std::optional<AnswerUsage>& usage) const {
    Json object = {{"id", "resp_" + head().id},
                   {"object", "response"},
                   {"created_at", head().created},
                   {"status", status},
                   {"model", head().model},
                   {"output", output_},
                   {"error", nullptr},
                   {"incomplete_details", nullptr},
                   {"usage", usage ? usage_of_response(*usage) : Json()}};
    if (status == std::string_view("incomplete")) {
      object["incomplete_details"] = {{"reason", "max_output_tokens"}};
    }
    object.update(settings_);
    return object;
  }

  std::string event(const std::string& type, const Json& members) {
    Json data = {{"type", type}, {"sequence_number", number_++}};
    data.update(members);
    return "event: " + type + "\n" + data_event(data);
  }

  std::string item_id() const { return "msg_" + head().id; }

  Json message_item(AnswerEnd end, Json part) const {
    return {{"type", "message"},
            {"id", item_id()},
            {"status", end == AnswerEnd::kLength ? "incomplete" : "completed"},
            {"role", "assistant"},
            {"content", Json::array({std::move(part)})}};
  }

  Json call_item(const ToolCall& call) const {
    return {
        {"type", "function_call"},       {"id", "fc_" + head().id},
        {"call_id", call_id(head(), 0)}, {"name", call.name},
        {"arguments", call.arguments},   {"status", call.is_whole ? "completed" : "incomplete"}};
  }

  // Once, before its first text: until then the answer may become a call.
  std::string open_message() {
    if (std::exchange(open_, true)) return {};
    const Json item = {{"type", "message"},
                       {"id", item_id()},
                       {"status", "in_progress"},
                       {"role", "assistant"},
                       {"content", Json::array()}};
    std::string events = event("response.output_item.added", {{"output_index", 0}, {"item", item}});
    events += event("response.content_part.added", {{"item_id", item_id()},
                                                    {"output_index", 0},
                                                    {"content_index", 0},
                                                    {"part", output_text("", Json::array())}});
    return events;
  }

  std::string end_of_message(const AnswerChoice& one) {
    std::string events = open_message();
    const Json part = output_text(one.text, logprobs_);
    output_.push_back(message_item(one.end, part));
    events += event("response.output_text.done", {{"item_id", item_id()},
                                                  {"output_index", 0},
                                                  {"content_index", 0},
                                                  {"text", one.text},
                                                  {"logprobs", logprobs_}});
    events +=
        event("response.content_part.done",
              {{"item_id", item_id()}, {"output_index", 0}, {"content_index", 0}, {"part", part}});
    return events +
           event("response.output_item.done", {{"output_index", 0}, {"item", output_.back()}});
  }

  std::string end_of_call(const ToolCall& call) {
    output_.push_back(call_item(call));
    const std::string id = output_.back().at("id");
    Json begun = output_.back();
    begun["arguments"] = "";
    begun["status"] = "in_progress";
    std::string events =
        event("response.output_item.added", {{"output_index", 0}, {"item", std::move(begun)}});
    events += event("response.function_call_arguments.delta",
                    {{"item_id", id}, {"output_index", 0}, {"delta", call.arguments}});
    events += event(
        "response.function_call_arguments.done",
        {{"item_id", id}, {"output_index", 0}, {"name", call.name}, {"arguments", call.arguments}});
    return events +
           event("response.output_item.done", {{"output_index", 0}, {"item", output_.back()}});
  }

  Json tokens(std::span<const TokenLogprobs> logprobs) const {
    return include_logprobs_ ? token_array(logprobs) : Json::array();
  }

  Json settings_;
  bool include_logprobs_;
  std::int64_t number_ = 0;  // of the next event
  bool open_ = false;
  Json output_ = Json::array();
  Json logprobs_ = Json::array();
  AnswerEnd end_ = AnswerEnd::kStop;
};

}  // namespace

std::shared_ptr<AnswerWriter> write_response(const Json& request, const Sampling& sampling) {
  const auto asked = [&](const char* key, const Json& otherwise) {
    const Json* value = field(request, key);
    return value == nullptr ? otherwise : *value;
  };
  Json settings = {{"instructions", asked("instructions", nullptr)},
                   {"max_output_tokens", asked("max_output_tokens", nullptr)},
                   {"metadata", asked("metadata", Json::object())},
                   {"parallel_tool_calls", asked("parallel_tool_calls", true)},
                   {"previous_response_id", nullptr},
                   {"store", false},
                   {"temperature", sampling.temperature},
                   {"text", asked("text", {{"format", {{"type", "text"}}}})},
                   {"tool_choice", asked("tool_choice", "auto")},
                   {"tools", asked("tools", Json::array())},
                   {"top_p", sampling.top_p},
                   {"truncation", "disabled"}};
  return std::make_shared<ResponseWriter>(std::move(settings), sampling.logprobs.has_value());
}

}  // namespace fvlm::net
