#include "net/api/tools.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>
#include <vector>

#include "net/api/chat_request.hpp"
#include "net/api/tool_text.hpp"

namespace fvlm::net {
namespace {

constexpr std::size_t kMostTools = 128;
constexpr std::size_t kLongestName = 64;
constexpr std::string_view kDefaultSystem = "You are a helpful assistant.";

constexpr std::array kToolFields = {
    KnownField{"tools"},
    KnownField{"tool_choice"},
    KnownField{"parallel_tool_calls", kAnything, "an answer has one call"},
    KnownField{"functions", "[[]]", "\"tools\" is its newer name"},
    KnownField{"function_call", R"(["none", "auto"])", "\"tool_choice\" is its newer name"},
};
constexpr std::array kOneToolFields = {KnownField{"type", R"(["function"])"},
                                       KnownField{"function"}};
constexpr std::array kFunctionFields = {
    KnownField{"name"},
    KnownField{"description"},
    KnownField{"parameters"},
    KnownField{"strict", "[true, false]", "arguments follow their schema either way"},
};
constexpr std::array kChoiceFields = {KnownField{"type", R"(["function"])"},
                                      KnownField{"function"}};

bool is_name(const Json* name) {
  if (name == nullptr || !name->is_string()) return false;
  const auto& text = name->get_ref<const std::string&>();
  return !text.empty() && text.size() <= kLongestName && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

// Of a tool, as the chat template shows it to the model.
Json shown(const Json& function) {
  Json one = {{"name", function.at("name")}};
  for (const char* key : {"description", "parameters"}) {
    if (const Json* value = field(function, key)) one[key] = *value;
  }
  return {{"type", "function"}, {"function", std::move(one)}};
}

struct Tools {
  std::vector<Grammar::Tool> grammars;
  std::vector<std::string> places;  // of these, in the request
  std::string shown;
};

Read<Tools> read_list(const Json& list) {
  if (!list.is_array() || list.size() > kMostTools) {
    return wrong("tools", fmt::format("\"tools\" must be an array of up to {} tools", kMostTools));
  }
  Tools tools;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string place = fmt::format("tools[{}]", i);
    const Json* function = list[i].is_object() ? field(list[i], "function") : nullptr;
    if (function == nullptr || !function->is_object()) {
      return wrong(place, "must be an object with a \"function\"");
    }
    if (auto error = check_fields(list[i], place, {kOneToolFields})) return *error;
    if (auto error = check_fields(*function, place + ".function", {kFunctionFields})) return *error;
    const Json* name = field(*function, "name");
    if (!is_name(name)) {
      return wrong(
          place + ".function.name",
          fmt::format("must be a name of up to {} letters, digits, _, - and .", kLongestName));
    }
    const Json* parameters = field(*function, "parameters");
    tools.grammars.push_back(
        {name->get<std::string>(), parameters == nullptr ? "" : dump(*parameters)});
    tools.places.push_back(place + ".function");
    tools.shown.append("\n").append(spaced_json(shown(*function)));
  }
  return tools;
}

// Into the first turn, which becomes one of the system.
void show(const std::string& tools, std::vector<ChatTurn>& turns) {
  if (turns.front().role != Turn::Role::kSystem) {
    turns.insert(turns.begin(), {.role = Turn::Role::kSystem, .text = std::string(kDefaultSystem)});
  }
  turns.front().text += fmt::format(
      "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are "
      "provided with function signatures within <tools></tools> XML tags:\n<tools>{}\n</tools>\n\n"
      "For each function call, return a json object with function name and arguments within "
      "<tool_call></tool_call> XML tags:\n<tool_call>\n{{\"name\": <function-name>, \"arguments\": "
      "<args-json-object>}}\n</tool_call>",
      tools);
}

// Leaves only the tool that is named.
std::optional<ApiError> choose(const Json& choice, Tools& tools) {
  const Json* function = choice.is_object() ? field(choice, "function") : nullptr;
  const Json* name =
      function != nullptr && function->is_object() ? field(*function, "name") : nullptr;
  if (name == nullptr || !name->is_string()) {
    return wrong("tool_choice",
                 "\"tool_choice\" must be \"none\", \"auto\", \"required\" or name a function");
  }
  if (auto error = check_fields(choice, "tool_choice", {kChoiceFields})) return error;
  const auto chosen =
      std::ranges::find(tools.grammars, name->get_ref<const std::string&>(), &Grammar::Tool::name);
  if (chosen == tools.grammars.end()) {
    return wrong("tool_choice", "there is no tool of this name in \"tools\"");
  }
  tools.places = {tools.places[static_cast<std::size_t>(chosen - tools.grammars.begin())]};
  tools.grammars = {*chosen};
  return std::nullopt;
}

// What Grammar::tool_call() finds wrong with a tool begins with the tool's name: to try them one by
// one could take a second for each.
ApiError wrong_tool(const Tools& tools, const std::string& problem) {
  for (std::size_t i = 0; i < tools.grammars.size(); ++i) {
    if (problem.starts_with(fmt::format("the parameters of \"{}\": ", tools.grammars[i].name))) {
      return wrong(tools.places[i] + ".parameters", problem);
    }
  }
  return wrong("tools", problem);
}

// The JSON object that a text begins with; all of it if that has no end.
std::string_view first_object(std::string_view text) {
  int open = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\') {
      ++i;
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string && (c == '{' || c == '[')) {
      ++open;
    } else if (!in_string && (c == '}' || c == ']') && --open == 0) {
      return text.substr(0, i + 1);
    }
  }
  return text;
}

std::optional<ToolCall> read_whole_call(std::string_view answer) {
  // White space at the end of an answer is stripped; there is none in the tags that matters.
  const std::string_view begin = Grammar::kToolCallBegin;
  const std::string_view end = Grammar::kToolCallEnd;
  if (!answer.starts_with(begin) || !answer.ends_with(end)) return std::nullopt;
  answer.remove_prefix(begin.size());
  answer.remove_suffix(end.size());
  const auto [call, problem] = parse_object(answer);
  const Json* name = problem.empty() ? field(call, "name") : nullptr;
  const Json* arguments = problem.empty() ? field(call, "arguments") : nullptr;
  if (name == nullptr || !name->is_string() || arguments == nullptr || !arguments->is_object()) {
    return std::nullopt;
  }
  return ToolCall{name->get<std::string>(), dump(*arguments)};
}

// As Grammar::tool_call() writes it. A tool's name has nothing that JSON escapes.
std::optional<ToolCall> read_begun_call(std::string_view answer) {
  constexpr std::string_view kArguments = R"(", "arguments": )";
  const std::string begin = std::string(Grammar::kToolCallBegin) + R"({"name": ")";
  ToolCall call{.is_whole = false};
  if (begin.starts_with(answer)) return call;
  if (!answer.starts_with(begin)) return std::nullopt;
  answer.remove_prefix(begin.size());
  const std::size_t end = answer.find('"');
  if (end == answer.npos) return call;
  call.name = answer.substr(0, end);
  answer.remove_prefix(end);
  if (!answer.starts_with(kArguments)) return call;
  call.arguments = first_object(answer.substr(kArguments.size()));
  const auto [object, problem] = parse_object(call.arguments);
  if (problem.empty()) call.arguments = dump(object);
  return call;
}

}  // namespace

std::span<const KnownField> tool_fields() {
  return kToolFields;
}

std::optional<ApiError> read_tools(const Json& body, ChatRequest& request) {
  const Json* list = field(body, "tools");
  const Json* choice = field(body, "tool_choice");
  if (list == nullptr || list->empty()) {
    if (choice == nullptr || *choice == "none" || *choice == "auto") return std::nullopt;
    return wrong("tool_choice", "\"tool_choice\" needs \"tools\"");
  }
  auto read = read_list(*list);
  if (auto* error = std::get_if<ApiError>(&read)) return *error;
  auto& tools = std::get<Tools>(read);
  if (choice != nullptr && *choice == "none") return std::nullopt;
  const bool may_say = choice == nullptr || *choice == "auto";
  if (!may_say && *choice != "required") {
    if (auto error = choose(*choice, tools)) return error;
  }
  if (request.turns.back().role == Turn::Role::kAssistant) {
    return wrong("tools", "a message of the assistant that is continued cannot become a call");
  }
  try {
    Grammar call = Grammar::tool_call(tools.grammars, may_say && !request.grammar);
    request.grammar =
        may_say && request.grammar ? Grammar::either(call, *request.grammar) : std::move(call);
  } catch (const Error& error) {
    return wrong_tool(tools, error.what());
  }
  request.may_call = true;
  show(tools.shown, request.turns);
  return std::nullopt;
}

std::optional<ToolCall> read_tool_call(std::string_view answer, bool cut) {
  auto call = read_whole_call(answer);
  return call || !cut ? call : read_begun_call(answer);
}

bool may_be_tool_call(std::string_view beginning) {
  const std::string_view begin = Grammar::kToolCallBegin;
  return beginning.starts_with(begin) || begin.starts_with(beginning);
}

}  // namespace fvlm::net
