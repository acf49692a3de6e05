#include "net/api/sampling_fields.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace fvlm::net {
namespace {

constexpr std::int64_t kMostAnswers = 8;
constexpr std::size_t kMostStops = 64;
constexpr std::size_t kLongestStop = 1024;  // bytes

constexpr std::array kSamplingFields = {
    KnownField{"temperature"},
    KnownField{"top_p"},
    KnownField{"top_k"},
    KnownField{"min_p"},
    KnownField{"repetition_penalty"},
    KnownField{"frequency_penalty"},
    KnownField{"presence_penalty"},
    KnownField{"logit_bias"},
    KnownField{"seed"},
    KnownField{"stop"},
};
constexpr std::array kSearchFields = {
    KnownField{"n"},
    // vLLM's
    KnownField{"best_of", "[1]", "\"n\" asks for several answers"},
    KnownField{"use_beam_search", "[false]"},
    KnownField{"length_penalty", "[1.0]"},
    KnownField{"min_tokens", "[0]"},
    KnownField{"ignore_eos", "[false]"},
    KnownField{"stop_token_ids", "[[]]", "\"stop\" takes texts"},
    KnownField{"include_stop_str_in_output", "[false]"},
    KnownField{"bad_words", "[[]]", "\"logit_bias\" lowers tokens"},
    KnownField{"allowed_token_ids", "[]"},
    KnownField{"prompt_logprobs", "[]"},
};

// {"token id": bias, ...}
std::optional<ApiError> read_logit_bias(const Json& body, const ChatLimits& limits,
                                        std::vector<TokenBias>& biases) {
  const Json* value = field(body, "logit_bias");
  if (value == nullptr) return std::nullopt;
  const auto refuse = [] {
    return wrong("logit_bias", "\"logit_bias\" must be an object of token ids and numbers");
  };
  if (!value->is_object()) return refuse();
  for (const auto& [name, bias] : value->items()) {
    TokenBias one;
    const char* const end = name.data() + name.size();
    const auto [rest, error] = std::from_chars(name.data(), end, one.token);
    if (error != std::errc() || rest != end || !bias.is_number()) return refuse();
    if (one.token >= limits.vocabulary) {
      return wrong("logit_bias",
                   fmt::format("\"logit_bias\" names token {}, the model has {} tokens", one.token,
                               limits.vocabulary));
    }
    one.bias = bias.get<double>();
    biases.push_back(one);
  }
  return std::nullopt;
}

// Any whole number of 64 bits: a negative one stands for that with the same bits.
std::optional<ApiError> read_seed(const Json& body, Sampling& sampling) {
  const Json* seed = field(body, "seed");
  if (seed == nullptr) return std::nullopt;
  if (!seed->is_number_integer())
    return wrong("seed", "\"seed\" must be a whole number of 64 bits");
  sampling.seed = seed->is_number_unsigned()
                      ? seed->get<std::uint64_t>()
                      : static_cast<std::uint64_t>(seed->get<std::int64_t>());
  return std::nullopt;
}

std::optional<ApiError> read_stop(const Json& body, std::vector<std::string>& stop) {
  const Json* value = field(body, "stop");
  if (value == nullptr) return std::nullopt;
  const Json texts = value->is_array() ? *value : Json::array({*value});
  for (const Json& text : texts) {
    if (!text.is_string() || text.get_ref<const std::string&>().empty() ||
        stop.size() == kMostStops) {
      return wrong("stop", fmt::format("\"stop\" must be a text, or up to {}, none of them empty",
                                       kMostStops));
    }
    stop.push_back(text.get<std::string>());
    if (stop.back().size() > kLongestStop) {
      return wrong("stop", fmt::format("a text of \"stop\" may have {} bytes", kLongestStop));
    }
  }
  return std::nullopt;
}

}  // namespace

std::span<const KnownField> sampling_fields() {
  return kSamplingFields;
}

std::optional<ApiError> read_sampling(const Json& body, const ChatLimits& limits,
                                      ChatRequest& request) {
  Sampling& sampling = request.sampling;
  for (const auto& [key, to] :
       {std::pair("temperature", &sampling.temperature), std::pair("top_p", &sampling.top_p),
        std::pair("min_p", &sampling.min_p),
        std::pair("repetition_penalty", &sampling.repetition_penalty),
        std::pair("frequency_penalty", &sampling.frequency_penalty),
        std::pair("presence_penalty", &sampling.presence_penalty)}) {
    if (auto error = read_number(body, key, *to)) return error;
  }
  sampling.top_k = 0;
  if (auto error = read_integer(body, "top_k", sampling.top_k)) return error;
  if (sampling.top_k < -1) {
    return wrong("top_k",
                 fmt::format("\"top_k\" is {}, it must be a number of tokens, or 0 or -1 for "
                             "all of them",
                             sampling.top_k));
  }
  if (sampling.top_k == -1) sampling.top_k = 0;  // vLLM's name for all tokens
  if (auto error = read_logit_bias(body, limits, sampling.logit_bias)) return error;
  if (auto error = read_seed(body, sampling)) return error;
  if (auto error = read_stop(body, request.stop)) return error;
  // A problem begins with the name of the setting.
  if (const std::string problem = sampling.problem(); !problem.empty()) {
    return wrong(problem.substr(0, problem.find(' ')), problem);
  }
  return std::nullopt;
}

std::span<const KnownField> search_fields() {
  return kSearchFields;
}

std::optional<ApiError> read_answers(const Json& body, ChatRequest& request) {
  if (auto error = read_integer(body, "n", request.answers)) return error;
  if (request.answers >= 1 && request.answers <= kMostAnswers) return std::nullopt;
  return wrong("n",
               fmt::format("\"n\" is {}, it must be from 1 to {}", request.answers, kMostAnswers));
}

std::optional<ApiError> read_logprobs(const Json& body, ChatRequest& request) {
  bool wanted = false;
  if (auto error = read_flag(body, "logprobs", wanted)) return error;
  std::int64_t top = 0;
  if (auto error = read_integer(body, "top_logprobs", top)) return error;
  if (top < 0 || top > Sampling::kMostLogprobs) {
    return wrong("top_logprobs", fmt::format("\"top_logprobs\" is {}, it must be from 0 to {}", top,
                                             Sampling::kMostLogprobs));
  }
  if (top > 0 && !wanted) {
    return wrong("top_logprobs", "\"top_logprobs\" must stand beside \"logprobs\": true");
  }
  if (wanted) request.sampling.logprobs = top;
  return std::nullopt;
}

std::optional<ApiError> read_max_tokens(const Json& body, std::initializer_list<const char*> keys,
                                        const ChatLimits& limits, ChatRequest& request) {
  request.sampling.max_new_tokens = limits.max_new_tokens;
  for (const char* key : keys) {
    std::int64_t most = limits.max_new_tokens;
    if (auto error = read_integer(body, key, most)) return error;
    if (most < 1) return wrong(key, fmt::format("\"{}\" must be a whole number above 0", key));
    if (most > limits.max_new_tokens) {
      return wrong(
          key, fmt::format("\"{}\" is {}, an answer of this server has at most {} tokens, which "
                           "its flag --max_new_tokens says",
                           key, most, limits.max_new_tokens));
    }
    if (field(body, key) != nullptr) request.sampling.max_new_tokens = most;
  }
  return std::nullopt;
}

}  // namespace fvlm::net
