// The settings of a request of Ollama's API, from its "options" and beside them.
#pragma once

#include <span>

#include "net/api/chat_request.hpp"
#include "net/api/fields.hpp"

namespace fvlm::net {

// Common to chats and prompts, beside the options.
std::span<const KnownField> ollama_fields();

// Model, options, "format", "stream" and log probabilities.
std::optional<ApiError> read_ollama_settings(const Json& body, const ChatLimits& limits,
                                             ChatRequest& request);

}  // namespace fvlm::net
