// Parts that answers of OpenAI's APIs have in common.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "net/api/answer_writer.hpp"
#include "net/protocol/json.hpp"

namespace fvlm::net {

// A server-sent event. The last one of a stream is kDone.
std::string data_event(const Json& data);
inline constexpr std::string_view kDone = "data: [DONE]\n\n";

Json usage_object(const AnswerUsage& usage);

// "stop", "length" or "tool_calls".
const char* finish_reason(AnswerEnd end);

// A number that JSON has.
double finite_logprob(double logprob);
// {"token", "logprob", "bytes"}. A token that is not of text has no bytes.
Json token_object(const TokenLogprob& one);
// The same with its "top_logprobs", of each token.
Json token_array(std::span<const TokenLogprobs> tokens);

// Of the call that the answer of this number is: there is one in each.
std::string call_id(const AnswerHead& head, std::size_t index);

}  // namespace fvlm::net
