#include "net/api/openai_request.hpp"

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "net/api/answer_format.hpp"
#include "net/api/openai_answer.hpp"
#include "net/api/openai_messages.hpp"
#include "net/api/sampling_fields.hpp"
#include "net/api/tools.hpp"

namespace fvlm::net {
namespace {

// Beside those of sampling and of the answer's form.
constexpr std::array kRequestFields = {
    KnownField{"model"},
    KnownField{"messages"},
    KnownField{"stream"},
    KnownField{"stream_options"},
    KnownField{"logprobs"},
    KnownField{"top_logprobs"},
    KnownField{"max_tokens"},
    KnownField{"max_completion_tokens"},
    // OpenAI's, which would change nothing here
    KnownField{"user", kAnything, "it names who asks"},
    KnownField{"safety_identifier", kAnything, "it names who asks"},
    KnownField{"metadata", kAnything, "it is for lists of stored answers, which there are none of"},
    KnownField{"store", kAnything, "it is for lists of stored answers, which there are none of"},
    KnownField{"prompt_cache_key", kAnything, "what prompts have in common is cached anyway"},
    KnownField{"prompt_cache_options", kAnything, "what prompts have in common is cached anyway"},
    KnownField{"prompt_cache_retention", kAnything, "what prompts have in common is cached anyway"},
    KnownField{"prediction", kAnything, "it changes how fast an answer comes, and nothing in it"},
    // or something
    KnownField{"service_tier", R"(["auto", "default"])"},
    KnownField{"modalities", R"([["text"]])"},
    KnownField{"audio", "[]"},
    KnownField{"reasoning_effort", R"(["none"])", "this model does not reason first"},
    KnownField{"verbosity", R"(["medium"])", "ask for it in the text"},
    KnownField{"web_search_options", "[]"},
    KnownField{"moderation", "[]"},
    // vLLM's
    KnownField{"add_generation_prompt"},
    KnownField{"continue_final_message"},
    KnownField{"request_id", kAnything, "it names the request"},
    KnownField{"priority", "[0]"},
    KnownField{"echo", "[false]"},
    KnownField{"skip_special_tokens", "[true]"},
    KnownField{"spaces_between_special_tokens", kAnything, "no special token is in an answer"},
    KnownField{"add_special_tokens", "[false]", "the chat template writes them"},
    KnownField{"truncate_prompt_tokens", "[]"},
    KnownField{"chat_template", "[]", "that of the model is used"},
    KnownField{"chat_template_kwargs", "[{}]", "the chat template has none"},
    KnownField{"mm_processor_kwargs", "[{}]"},
    KnownField{"documents", "[[]]", "write them into the text"},
    KnownField{"return_tokens_as_token_ids", "[false]"},
    KnownField{"return_token_ids", "[false]"},
};
constexpr std::array kStreamFields = {
    KnownField{"include_usage"},
    KnownField{"include_obfuscation", "[false]"},
    KnownField{"continuous_usage_stats", "[false]"},
};

// A last turn of the assistant is continued, and after any other one of the assistant begins:
// vLLM's fields may say that, and nothing else.
std::optional<ApiError> check_continuation(const Json& body, const ChatRequest& request) {
  const bool continues = request.turns.back().role == Turn::Role::kAssistant;
  bool wanted = continues;
  if (auto error = read_flag(body, "continue_final_message", wanted)) return error;
  if (wanted != continues) {
    return wrong("continue_final_message",
                 wanted ? "the last message is not the assistant's: there is nothing to continue"
                        : "a last message of the assistant is continued here, nothing else");
  }
  bool begins = !continues;
  if (auto error = read_flag(body, "add_generation_prompt", begins)) return error;
  if (begins == continues) {
    return wrong("add_generation_prompt",
                 begins ? "a last message of the assistant is continued here, nothing else"
                        : "after the last message one of the assistant begins");
  }
  return std::nullopt;
}

}  // namespace

std::optional<ApiError> read_stream(const Json& body, bool& stream, bool& include_usage) {
  if (auto error = read_flag(body, "stream", stream)) return error;
  const Json* options = field(body, "stream_options");
  if (options == nullptr) return std::nullopt;
  if (!stream || !options->is_object()) {
    return wrong("stream_options", "\"stream_options\" must be an object, beside \"stream\": true");
  }
  if (auto error = check_fields(*options, "stream_options", {kStreamFields})) return error;
  return read_flag(*options, "include_usage", include_usage);
}

Read<ApiRequest> read_chat_request(std::string_view text, const ChatLimits& limits) {
  const auto [body, problem] = parse_object(text);
  if (!problem.empty()) return wrong({}, "the body " + problem);
  ChatRequest request;
  if (auto error = read_text(body, "model", request.model)) return *error;
  auto turns = read_turns(body);
  if (auto* error = std::get_if<ApiError>(&turns)) return *error;
  request.turns = std::get<std::vector<ChatTurn>>(std::move(turns));
  if (auto error = check_fields(body, "",
                                {kRequestFields, sampling_fields(), search_fields(),
                                 answer_format_fields(), tool_fields()})) {
    return *error;
  }
  if (auto error = read_sampling(body, limits, request)) return *error;
  if (auto error = read_max_tokens(body, {"max_tokens", "max_completion_tokens"}, limits, request))
    return *error;
  if (auto error = read_logprobs(body, request)) return *error;
  if (auto error = read_answers(body, request)) return *error;
  if (auto error = read_answer_format(body, request)) return *error;
  if (auto error = read_tools(body, request)) return *error;
  bool include_usage = false;
  if (auto error = read_stream(body, request.stream, include_usage)) return *error;
  if (auto error = check_continuation(body, request)) return *error;
  const bool include_logprobs = request.sampling.logprobs.has_value();
  return ApiRequest{std::move(request), write_chat_completion(include_usage, include_logprobs)};
}

}  // namespace fvlm::net
