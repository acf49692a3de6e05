// Fields that ask for an answer of a certain form: JSON, a value of a JSON Schema, what a regular
// expression matches, one of several texts. OpenAI's name is "response_format", vLLM's are
// "guided_json", "guided_regex", "guided_choice" and "structured_outputs"; a request has one.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "net/api/chat_request.hpp"
#include "net/api/fields.hpp"

namespace fvlm::net {

std::span<const KnownField> answer_format_fields();

// Sets the request's grammar if there is such a field.
std::optional<ApiError> read_answer_format(const Json& body, ChatRequest& request);

// The same for what other APIs ask for in the field `param`.
std::optional<ApiError> set_json_object(const std::string& param, ChatRequest& request);
// `schema`: an object, or the text of one.
std::optional<ApiError> set_json_schema(const Json& schema, const std::string& param,
                                        ChatRequest& request);

}  // namespace fvlm::net
