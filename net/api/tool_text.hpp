// Calls of tools and what they gave, as text: so Qwen2.5's chat template writes them, whose
// <tool_call> and <tool_response> are ordinary text to Qwen2's tokenizer.
#pragma once

#include <string>
#include <string_view>

#include "net/protocol/json.hpp"

namespace fvlm::net {

// A JSON value as Python's json.dumps writes it, with spaces after commas and colons: what models
// were trained on.
std::string spaced_json(const Json& value);

// `arguments` is a JSON object as text. One that is not, as models write them sometimes, stands as
// it is.
std::string tool_call_text(std::string_view name, const std::string& arguments);

std::string tool_response_text(std::string_view content);

}  // namespace fvlm::net
