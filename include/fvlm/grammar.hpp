// Grammars that answers follow: JSON, JSON of a schema, a regular expression, one of several texts.
// An answer that ends by itself is in the grammar; one that is cut off at max_new_tokens is the
// beginning of one.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fvlm {

struct Automaton;

// Compiled once, immutable and cheap to copy. What is compiled is limited in size, so that no
// source takes longer than about a second.
class Grammar {
 public:
  // A JSON object with any content.
  static Grammar json_object();
  // A value of a JSON Schema. What is supported, and which of the schema's values are in the
  // grammar: runtime/grammar/json_schema.hpp. Throws Error, with the place in the schema, if it is
  // wrong, contradicts itself or has a keyword that is not supported.
  static Grammar json_schema(std::string_view schema);
  // A text that the expression matches as a whole. The syntax: runtime/grammar/regex_syntax.hpp.
  // Throws Error with the place in the expression.
  static Grammar regex(std::string_view expression);
  // One of these texts. Throws Error if there are none, or one is empty or no valid UTF-8.
  static Grammar choice(const std::vector<std::string>& texts);

  // A call of one of these tools, as Qwen2.5 writes it between kToolCallBegin and kToolCallEnd:
  // {"name": ..., "arguments": {...}}; or any text that does not begin like one. Throws Error as
  // json_schema() does, with the tool's name.
  struct Tool {
    std::string name;
    std::string parameters{};  // a JSON Schema; empty: any object
  };
  static Grammar tool_call(const std::vector<Tool>& tools, bool or_text);
  static constexpr std::string_view kToolCallBegin = "<tool_call>\n";
  static constexpr std::string_view kToolCallEnd = "\n</tool_call>";

  // A text of one or of the other. Throws Error if they are too large together.
  static Grammar either(const Grammar& one, const Grammar& other);

  // Whether an answer is in the grammar.
  bool matches(std::string_view answer) const;

  // What it was made from: grammars with the same source are the same.
  const std::string& source() const { return source_; }
  const std::shared_ptr<const Automaton>& automaton() const { return automaton_; }

 private:
  Grammar(std::string source, std::shared_ptr<const Automaton> automaton);

  std::string source_;
  std::shared_ptr<const Automaton> automaton_;
};

}  // namespace fvlm
