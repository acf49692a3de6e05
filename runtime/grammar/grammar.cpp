#include "fvlm/grammar.hpp"

#include <nlohmann/json.hpp>
#include <utility>

#include "kernels/support/make_error.hpp"
#include "runtime/grammar/automaton.hpp"
#include "runtime/grammar/character_writer.hpp"
#include "runtime/grammar/json_schema.hpp"
#include "runtime/grammar/json_writer.hpp"
#include "runtime/grammar/machine.hpp"
#include "runtime/grammar/regex.hpp"
#include "runtime/tokenizer/unicode.hpp"

namespace fvlm {
namespace {

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const Utf8Character character = first_character(text);
    if (character.status != Utf8Status::kValid) return false;
    text.remove_prefix(character.length);
  }
  return true;
}

std::string json_text(const std::string& text) {
  return nlohmann::json(text).dump();
}

// Any text that does not begin with `beginning`, which is ASCII.
CharacterDfa not_beginning_with(std::string_view beginning) {
  CharacterDfa dfa;
  const auto free = static_cast<CharacterDfa::State>(beginning.size());
  for (CharacterDfa::State n = 0; n < free; ++n) {
    const CharacterSet next = CharacterSet::of(static_cast<unsigned char>(beginning[n]));
    dfa.nodes.push_back({.edges = {{~next, free}}, .accepts = true});
    if (n + 1 < free) dfa.nodes.back().edges.push_back({next, n + 1});
  }
  dfa.nodes.push_back({.edges = {{CharacterSet::all(), free}}, .accepts = true});
  return dfa;
}

}  // namespace

Grammar::Grammar(std::string source, std::shared_ptr<const Automaton> automaton)
    : source_(std::move(source)), automaton_(std::move(automaton)) {}

Grammar Grammar::json_object() {
  AutomatonBuilder builder;
  JsonWriter writer(builder);
  const RuleId rule = writer.any_object();
  return {"json object", std::move(builder).finish(rule, "JSON object")};
}

Grammar Grammar::json_schema(std::string_view schema) {
  AutomatonBuilder builder;
  JsonWriter writer(builder);
  const RuleId rule = add_json_schema(builder, writer, schema);
  return {"json schema " + std::string(schema), std::move(builder).finish(rule, "JSON schema")};
}

Grammar Grammar::regex(std::string_view expression) {
  const CharacterDfa dfa = compile_regex(expression, RegexMatch::kWhole);
  AutomatonBuilder builder;
  const RuleId rule = builder.add_rule();
  CharacterWriter(builder, CharacterWriter::Encoding::kPlain)
      .add(builder.start(rule), dfa, builder.end(rule));
  return {"regex " + std::string(expression), std::move(builder).finish(rule, "the expression")};
}

Grammar Grammar::choice(const std::vector<std::string>& texts) {
  if (texts.empty()) throw Error("there is no text to choose");
  std::string source = "choice";
  for (const std::string& text : texts) {
    if (text.empty()) throw Error("a text to choose is empty");
    if (!is_utf8(text)) throw Error("a text to choose is not valid UTF-8");
    source += fmt::format(" {} {}", text.size(), text);
  }
  AutomatonBuilder builder;
  const RuleId rule = builder.add_rule();
  builder.add_texts(builder.start(rule), texts, builder.end(rule));
  return {std::move(source), std::move(builder).finish(rule, "the choice")};
}

// The texts around the name of a tool and its arguments are those of Qwen2.5's chat template.
Grammar Grammar::tool_call(const std::vector<Tool>& tools, bool or_text) {
  if (tools.empty()) throw Error("there is no tool to call");
  AutomatonBuilder builder;
  JsonWriter writer(builder);
  const RuleId rule = builder.add_rule();
  const NodeId opened = builder.add_node(rule);
  const NodeId called = builder.add_node(rule);
  builder.add_text(builder.start(rule), fmt::format("{}{{\"name\": ", kToolCallBegin), opened);
  builder.add_text(called, fmt::format("}}{}", kToolCallEnd), builder.end(rule));
  std::string source = or_text ? "tool call or text" : "tool call";
  for (const Tool& tool : tools) {
    const NodeId named = builder.add_node(rule);
    builder.add_text(opened, fmt::format("{}, \"arguments\": ", json_text(tool.name)), named);
    try {
      builder.add_call(named,
                       tool.parameters.empty() ? writer.any_object()
                                               : add_json_schema(builder, writer, tool.parameters),
                       called);
    } catch (const Error& error) {
      throw make_error("the parameters of {}: {}", json_text(tool.name), error.what());
    }
    source += fmt::format(" {} {} {} {}", tool.name.size(), tool.name, tool.parameters.size(),
                          tool.parameters);
  }
  if (or_text) {
    CharacterWriter(builder, CharacterWriter::Encoding::kPlain)
        .add(builder.start(rule), not_beginning_with(kToolCallBegin), builder.end(rule));
  }
  return {std::move(source), std::move(builder).finish(rule, "the tools")};
}

Grammar Grammar::either(const Grammar& one, const Grammar& other) {
  AutomatonBuilder builder;
  const RuleId rule = builder.add_rule();
  for (const Grammar* each : {&one, &other}) {
    builder.add_call(builder.start(rule), builder.add_automaton(*each->automaton_),
                     builder.end(rule));
  }
  return {fmt::format("either {} {} {}", one.source_.size(), one.source_, other.source_),
          std::move(builder).finish(rule, "the grammar")};
}

bool Grammar::matches(std::string_view answer) const {
  Machine machine(automaton_);
  return machine.may_end(machine.advance(machine.start(), answer));
}

}  // namespace fvlm
