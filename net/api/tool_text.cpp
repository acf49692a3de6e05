#include "net/api/tool_text.hpp"

#include <fmt/format.h>

namespace fvlm::net {

std::string spaced_json(const Json& value) {
  if (!value.is_structured()) return dump(value);
  std::string text;
  for (const auto& [key, one] : value.items()) {
    if (!text.empty()) text += ", ";
    if (value.is_object()) text += dump(key) + ": ";
    text += spaced_json(one);
  }
  return value.is_object() ? "{" + text + "}" : "[" + text + "]";
}

std::string tool_call_text(std::string_view name, const std::string& arguments) {
  const auto [object, problem] = parse_object(arguments);
  return fmt::format("<tool_call>\n{{\"name\": {}, \"arguments\": {}}}\n</tool_call>",
                     dump(std::string(name)), problem.empty() ? spaced_json(object) : arguments);
}

std::string tool_response_text(std::string_view content) {
  return fmt::format("<tool_response>\n{}\n</tool_response>", content);
}

}  // namespace fvlm::net
