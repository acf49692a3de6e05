#include "tools/commands/shared/grammar_options.hpp"

#include <array>

#include "kernels/support/make_error.hpp"
#include "tools/commands/shared/text_file.hpp"

namespace fvlm {
void add_grammar_flags(CLI::App& parser, GrammarOptions& options) {
  const std::array<CLI::Option*, 4> flags = {
      parser
          .add_option("--json-schema", options.json_schema,
                      "The answer is JSON that is valid for this JSON Schema")
          ->option_text("FILE"),
      parser.add_flag("--json-object", options.json_object, "The answer is a JSON object")
          ->option_text(" "),
      parser
          .add_option("--regex", options.regex,
                      "The answer is what this regular expression matches as a whole")
          ->option_text("EXPRESSION"),
      parser
          .add_option("--choice", options.choices,
                      "The answer is one of the texts so given; repeat for each")
          ->take_all()
          ->allow_extra_args(false)
          ->option_text("TEXT")};
  for (CLI::Option* const one : flags) {
    for (CLI::Option* const other : flags) {
      if (one != other) one->excludes(other);
    }
  }
}

std::optional<Grammar> compile_grammar(const GrammarOptions& options) {
  if (options.json_object) return Grammar::json_object();
  if (!options.choices.empty()) return Grammar::choice(options.choices);
  if (!options.regex.empty()) return Grammar::regex(options.regex);
  if (options.json_schema.empty()) return std::nullopt;
  const std::string schema = read_text_file(options.json_schema);
  try {
    return Grammar::json_schema(schema);
  } catch (const Error& error) {
    throw make_error("{}: {}", options.json_schema, error.what());
  }
}

}  // namespace fvlm
