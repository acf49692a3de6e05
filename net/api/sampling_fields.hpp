// Fields by which requests say how answers are sampled: those of OpenAI's API and, by vLLM's names,
// those that it does not have. Other APIs have some of them.
#pragma once

#include <initializer_list>
#include <optional>
#include <span>

#include "net/api/chat_request.hpp"
#include "net/api/fields.hpp"

namespace fvlm::net {

// Temperature, filters, penalties, biases, seed and stop strings.
std::span<const KnownField> sampling_fields();
// Without a field, sampling is that of the command line, but from all tokens: OpenAI has no top-k.
std::optional<ApiError> read_sampling(const Json& body, const ChatLimits& limits,
                                      ChatRequest& request);

// "n" and vLLM's fields that would change how answers are searched for or end.
std::span<const KnownField> search_fields();
std::optional<ApiError> read_answers(const Json& body, ChatRequest& request);

// "logprobs": true and "top_logprobs".
std::optional<ApiError> read_logprobs(const Json& body, ChatRequest& request);

// The most tokens of an answer, from the last of the fields that are there. Above the server's
// limit is an error.
std::optional<ApiError> read_max_tokens(const Json& body, std::initializer_list<const char*> keys,
                                        const ChatLimits& limits, ChatRequest& request);

}  // namespace fvlm::net
