#include "net/api/completion.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "net/api/answer_format.hpp"
#include "net/api/openai_parts.hpp"
#include "net/api/openai_request.hpp"
#include "net/api/sampling_fields.hpp"

namespace fvlm::net {
namespace {

constexpr std::int64_t kMostCompletions = 64;   // to all prompts
constexpr std::int64_t kDefaultMaxTokens = 16;  // OpenAI's

// Beside those of sampling and of the answer's form. Those of chats are in openai_request.cpp.
constexpr std::array kCompletionFields = {
    KnownField{"model"},
    KnownField{"prompt"},
    KnownField{"max_tokens"},
    KnownField{"echo"},
    KnownField{"logprobs"},
    KnownField{"best_of"},
    KnownField{"stream"},
    KnownField{"stream_options"},
    KnownField{"suffix", R"([""])", "this model does not fill in the middle"},
    KnownField{"user", kAnything, "it names who asks"},
    // vLLM's
    KnownField{"request_id", kAnything, "it names the request"},
    KnownField{"priority", "[0]"},
    KnownField{"add_special_tokens", "[true, false]", "Qwen2 puts none before a text"},
    KnownField{"skip_special_tokens", "[true]"},
    KnownField{"spaces_between_special_tokens", kAnything, "no special token is in an answer"},
    KnownField{"truncate_prompt_tokens", "[]"},
    KnownField{"prompt_embeds", "[]"},
    KnownField{"return_tokens_as_token_ids", "[false]"},
    KnownField{"return_token_ids", "[false]"},
};

// Where tokens begin in an answer, in characters as "text_offset" has it. Asked for in order.
class Offsets {
 public:
  void add(std::string_view text) { text_ += text; }
  std::int64_t of(std::size_t byte) {
    byte = std::min(byte, text_.size());
    const auto begins = [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; };
    if (byte > bytes_) {
      const std::string_view more(text_.data() + bytes_, byte - bytes_);
      characters_ += std::ranges::count_if(more, begins);
      bytes_ = byte;
    }
    return characters_;
  }

 private:
  std::string text_;
  std::size_t bytes_ = 0;
  std::int64_t characters_ = 0;
};

// Whole, and its pieces: "text" has the prompt before the answer if "echo" is asked for.
class CompletionWriter final : public AnswerWriter {
 public:
  CompletionWriter(std::vector<std::string> echoes, std::size_t answers, bool include_usage,
                   bool include_logprobs)
      : echoes_(std::move(echoes)),
        answers_(answers),
        include_usage_(include_usage),
        include_logprobs_(include_logprobs) {}

  std::string whole(std::span<const AnswerChoice> choices, const AnswerUsage& usage) override {
    Json all = Json::array();
    for (const AnswerChoice& one : choices) {
      const std::size_t index = all.size();
      all.push_back(
          choice(index, echo(index) + std::string(one.text), one.logprobs, finish_reason(one.end)));
    }
    Json body = object(std::move(all));
    body["usage"] = usage_object(usage);
    return dump(body);
  }

  std::string first(std::size_t answers) override {
    std::string events;
    if (echoes_.empty()) return events;
    for (std::size_t i = 0; i < answers; ++i) events += chunk(i, echo(i), {}, nullptr);
    return events;
  }

  std::string piece(std::size_t index, std::string_view text,
                    std::span<const TokenLogprobs> logprobs) override {
    return chunk(index, text, logprobs, nullptr);
  }

  std::string end_of(std::size_t index, const AnswerChoice& one) override {
    return chunk(index, "", {}, finish_reason(one.end));
  }

  std::string last(const AnswerUsage& usage) override {
    std::string events;
    if (include_usage_) {
      Json data = object(Json::array());
      data["usage"] = usage_object(usage);
      events = data_event(data);
    }
    events.append(kDone);
    return events;
  }

  std::string failure(const ApiError& error) override {
    return data_event(error_object(error)).append(kDone);
  }

 private:
  std::string echo(std::size_t index) const {
    return echoes_.empty() ? "" : echoes_[index / answers_];
  }

  Json object(Json choices) const {
    return {{"id", "cmpl-" + head().id},
            {"object", "text_completion"},
            {"created", head().created},
            {"model", head().model},
            {"choices", std::move(choices)}};
  }

  Json choice(std::size_t index, std::string_view text, std::span<const TokenLogprobs> tokens,
              Json reason) {
    Json logprobs;
    if (include_logprobs_) {
      Offsets& places = offsets_[index];
      places.add(text);
      logprobs = logprobs_object(tokens, places);
    }
    return {{"index", index},
            {"text", text},
            {"logprobs", std::move(logprobs)},
            {"finish_reason", std::move(reason)}};
  }

  std::string chunk(std::size_t index, std::string_view text, std::span<const TokenLogprobs> tokens,
                    Json reason) {
    Json data = object(Json::array({choice(index, text, tokens, std::move(reason))}));
    if (include_usage_) data["usage"] = nullptr;
    return data_event(data);
  }

  // Of several tokens with the same text the likeliest counts.
  static Json logprobs_object(std::span<const TokenLogprobs> tokens, Offsets& places) {
    Json texts = Json::array();
    Json chosen = Json::array();
    Json tops = Json::array();
    Json offsets = Json::array();
    for (const TokenLogprobs& token : tokens) {
      texts.push_back(token.chosen.text);
      chosen.push_back(finite_logprob(token.chosen.logprob));
      Json top = Json::object();
      for (const TokenLogprob& other : token.top) {
        if (!top.contains(other.text)) top[other.text] = finite_logprob(other.logprob);
      }
      tops.push_back(std::move(top));
      offsets.push_back(places.of(token.begin));
    }
    return {{"tokens", std::move(texts)},
            {"token_logprobs", std::move(chosen)},
            {"top_logprobs", std::move(tops)},
            {"text_offset", std::move(offsets)}};
  }

  std::vector<std::string> echoes_;  // of each prompt, if they are asked for
  std::size_t answers_;              // to each prompt
  bool include_usage_;
  bool include_logprobs_;
  std::map<std::size_t, Offsets> offsets_;
};

bool is_ids(const Json& value) {
  return value.is_array() && !value.empty() &&
         std::ranges::all_of(value, [](const Json& id) { return id.is_number_integer(); });
}

std::optional<ApiError> add_ids(const Json& value, const ChatLimits& limits,
                                std::vector<RawPrompt>& prompts) {
  std::vector<std::int32_t> ids;
  for (const Json& id : value) {
    const bool small = !id.is_number_unsigned() ||
                       id.get<std::uint64_t>() < static_cast<std::uint64_t>(limits.vocabulary);
    if (!small || id.get<std::int64_t>() < 0) {
      return wrong("prompt", fmt::format("\"prompt\" has token {}, the model has {} tokens",
                                         id.dump(), limits.vocabulary));
    }
    ids.push_back(id.get<std::int32_t>());
  }
  prompts.emplace_back(std::move(ids));
  return std::nullopt;
}

// A text, several, the ids of one or of several.
std::optional<ApiError> read_prompts(const Json& body, const ChatLimits& limits,
                                     std::vector<RawPrompt>& prompts) {
  const auto refuse = [] {
    return wrong("prompt", "\"prompt\" must be a text, ids of tokens, or an array of these");
  };
  const Json* prompt = field(body, "prompt");
  if (prompt == nullptr) return refuse();
  const bool several = prompt->is_array() && !is_ids(*prompt);
  if (several && prompt->size() > kMostCompletions) {
    return wrong("prompt", fmt::format("at most {} prompts are taken, not {}", kMostCompletions,
                                       prompt->size()));
  }
  for (const Json& one : several ? *prompt : Json::array({*prompt})) {
    if (is_ids(one)) {
      if (auto error = add_ids(one, limits, prompts)) return error;
    } else if (one.is_string() && !one.get_ref<const std::string&>().empty()) {
      prompts.emplace_back(one.get<std::string>());
    } else {
      return refuse();
    }
  }
  return prompts.empty() ? std::optional(refuse()) : std::nullopt;
}

// As many answers are searched for as are given: "best_of" may say that, and nothing else.
std::optional<ApiError> read_counts(const Json& body, ChatRequest& request) {
  if (auto error = read_answers(body, request)) return error;
  std::int64_t best_of = request.answers;
  if (auto error = read_integer(body, "best_of", best_of)) return error;
  if (best_of != request.answers) {
    return wrong("best_of", "\"best_of\" is not supported here: \"n\" asks for several answers",
                 "unsupported_parameter");
  }
  const std::int64_t all = request.answers * std::ssize(request.raw);
  if (all <= kMostCompletions) return std::nullopt;
  return wrong("n", fmt::format("\"n\" answers to each prompt are {} in all, at most {} are given",
                                all, kMostCompletions));
}

std::optional<ApiError> read_token_logprobs(const Json& body, ChatRequest& request) {
  if (field(body, "logprobs") == nullptr) return std::nullopt;
  std::int64_t top = 0;
  if (auto error = read_integer(body, "logprobs", top)) return error;
  if (top < 0 || top > Sampling::kMostLogprobs) {
    return wrong("logprobs", fmt::format("\"logprobs\" is {}, it must be from 0 to {}", top,
                                         Sampling::kMostLogprobs));
  }
  request.sampling.logprobs = top;
  return std::nullopt;
}

std::optional<ApiError> read_echo(const Json& body, const ChatRequest& request,
                                  std::vector<std::string>& echoes) {
  bool echo = false;
  if (auto error = read_flag(body, "echo", echo)) return error;
  if (!echo) return std::nullopt;
  if (request.sampling.logprobs) {
    return wrong("echo",
                 "\"echo\" beside \"logprobs\" is not supported here: tokens of the prompt have no "
                 "log probabilities",
                 "unsupported_parameter");
  }
  for (const RawPrompt& prompt : request.raw) {
    const auto* text = std::get_if<std::string>(&prompt);
    if (text == nullptr) {
      return wrong("echo", "\"echo\" is not supported here for a prompt of token ids",
                   "unsupported_parameter");
    }
    echoes.push_back(*text);
  }
  return std::nullopt;
}

}  // namespace

Read<ApiRequest> read_completion(std::string_view text, const ChatLimits& limits) {
  const auto [body, problem] = parse_object(text);
  if (!problem.empty()) return wrong({}, "the body " + problem);
  ChatRequest request;
  if (auto error = read_text(body, "model", request.model)) return *error;
  if (auto error = read_prompts(body, limits, request.raw)) return *error;
  if (auto error = check_fields(
          body, "",
          {kCompletionFields, sampling_fields(), search_fields(), answer_format_fields()})) {
    return *error;
  }
  if (auto error = read_sampling(body, limits, request)) return *error;
  if (const Json* most = field(body, "max_tokens"); most == nullptr) {
    request.sampling.max_new_tokens = std::min(kDefaultMaxTokens, limits.max_new_tokens);
  } else if (*most == 0) {
    request.only_prompt = true;
    request.sampling.max_new_tokens = 1;
  } else if (auto error = read_max_tokens(body, {"max_tokens"}, limits, request)) {
    return *error;
  }
  if (auto error = read_counts(body, request)) return *error;
  if (auto error = read_token_logprobs(body, request)) return *error;
  if (auto error = read_answer_format(body, request)) return *error;
  bool include_usage = false;
  if (auto error = read_stream(body, request.stream, include_usage)) return *error;
  std::vector<std::string> echoes;
  if (auto error = read_echo(body, request, echoes)) return *error;
  auto writer = std::make_shared<CompletionWriter>(
      std::move(echoes), static_cast<std::size_t>(request.answers), include_usage,
      request.sampling.logprobs.has_value());
  return ApiRequest{std::move(request), std::move(writer)};
}

}  // namespace fvlm::net
