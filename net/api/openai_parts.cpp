#include "net/api/openai_parts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace fvlm::net {
namespace {

constexpr double kLeastLogprob = -9999;  // what OpenAI's API has for less

}  // namespace

std::string data_event(const Json& data) {
  return "data: " + dump(data) + "\n\n";
}

Json usage_object(const AnswerUsage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.new_tokens},
          {"total_tokens", usage.prompt_tokens + usage.new_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
}

const char* finish_reason(AnswerEnd end) {
  switch (end) {
    case AnswerEnd::kStop:
      return "stop";
    case AnswerEnd::kLength:
      return "length";
    case AnswerEnd::kToolCall:
      return "tool_calls";
  }
  return "";
}

double finite_logprob(double logprob) {
  return std::max(logprob, kLeastLogprob);
}

Json token_object(const TokenLogprob& one) {
  Json bytes;
  if (!one.control) {
    bytes = Json::array();
    for (const char c : one.text) bytes.push_back(static_cast<unsigned char>(c));
  }
  return {
      {"token", one.text}, {"logprob", finite_logprob(one.logprob)}, {"bytes", std::move(bytes)}};
}

Json token_array(std::span<const TokenLogprobs> tokens) {
  Json all = Json::array();
  for (const TokenLogprobs& token : tokens) {
    Json one = token_object(token.chosen);
    one["top_logprobs"] = Json::array();
    for (const TokenLogprob& other : token.top) one["top_logprobs"].push_back(token_object(other));
    all.push_back(std::move(one));
  }
  return all;
}

std::string call_id(const AnswerHead& head, std::size_t index) {
  return fmt::format("call-{}-{}", head.id, index);
}

}  // namespace fvlm::net
