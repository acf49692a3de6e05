// Tools that an answer may call: "tools" and "tool_choice" of a request. The tools are written into
// the system turn as Qwen2.5's chat template does. With "auto" the answer is a text or a call, with
// "required" or a tool's name it is a call, whose arguments are valid for the tool's schema. Where
// the request says a form of the answer, too, a text has that form.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "net/api/fields.hpp"

namespace fvlm::net {

struct ChatRequest;

std::span<const KnownField> tool_fields();

// Adds the tools to the request's turns, and sets its grammar and may_call. After
// read_answer_format().
std::optional<ApiError> read_tools(const Json& body, ChatRequest& request);

// A call that an answer is, or the beginning of one if the answer was cut off.
struct ToolCall {
  std::string name{};       // empty if it was cut off before the name's end
  std::string arguments{};  // a JSON object as text, or its beginning
  bool is_whole = true;
};
// Nothing if the answer is a text. `cut`: it did not end by itself.
std::optional<ToolCall> read_tool_call(std::string_view answer, bool cut);

// Whether an answer that begins so may be a call.
bool may_be_tool_call(std::string_view beginning);

}  // namespace fvlm::net
