// Fields by which requests say how answers are sampled: those of OpenAI's API and, by vLLM's names,
// those that it does not have.
#pragma once

#include <optional>
#include <span>

#include "net/api/chat_request.hpp"
#include "net/api/fields.hpp"

namespace fvlm::net {

std::span<const KnownField> sampling_fields();

// Sampling, the number of answers and their stop strings. Without a field, sampling is that of the
// command line, but from all tokens: OpenAI has no top-k.
std::optional<ApiError> read_sampling(const Json& body, const ChatLimits& limits,
                                      ChatRequest& request);

}  // namespace fvlm::net
