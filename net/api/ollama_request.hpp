// Requests of Ollama's /api/chat and /api/generate.
#pragma once

#include <string_view>

#include "net/api/chat_request.hpp"
#include "net/api/fields.hpp"

namespace fvlm::net {

// As read_chat_request() does it. Streamed unless "stream" is false. Without messages or prompt,
// which is how clients have a model loaded, there is nothing to answer.
Read<ApiRequest> read_ollama_chat(std::string_view body, const ChatLimits& limits);
Read<ApiRequest> read_ollama_generate(std::string_view body, const ChatLimits& limits);

// A model's name without the tag ":latest", which stands for no tag.
std::string_view without_tag(std::string_view name);

}  // namespace fvlm::net
