#include "fvlm/grammar.hpp"

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
  return {"json schema " + std::string(schema), compile_json_schema(schema)};
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

bool Grammar::matches(std::string_view answer) const {
  Machine machine(automaton_);
  return machine.may_end(machine.advance(machine.start(), answer));
}

}  // namespace fvlm
