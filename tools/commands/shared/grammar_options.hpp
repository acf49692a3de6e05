// The flags that say what form an answer has.
#pragma once

#include <CLI/CLI.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "fvlm/grammar.hpp"

namespace fvlm {

struct GrammarOptions {
  bool json_object = false;
  std::string json_schema;  // a file
  std::string regex;
  std::vector<std::string> choices;
};

// --json-schema, --json-object, --regex and --choice, of which only one can be given.
void add_grammar_flags(CLI::App& parser, GrammarOptions& options);

// The grammar they ask for. Throws Error if it is wrong, with the file's name.
std::optional<Grammar> compile_grammar(const GrammarOptions& options);

}  // namespace fvlm
