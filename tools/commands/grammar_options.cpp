#include "tools/commands/grammar_options.hpp"

#include <array>
#include <fstream>
#include <iterator>

#include "kernels/support/make_error.hpp"

namespace fvlm {
namespace {

std::string read_text(const std::string& name) {
  std::ifstream file(name, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(file), {});
  if (!file && !file.eof()) throw make_error("{}: cannot be read", name);
  return text;
}

}  // namespace

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
  const std::string schema = read_text(options.json_schema);
  try {
    return Grammar::json_schema(schema);
  } catch (const Error& error) {
    throw make_error("{}: {}", options.json_schema, error.what());
  }
}

}  // namespace fvlm
