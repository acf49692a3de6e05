// fastvlm tokenize: text to token ids, as the model sees them. Standard input is taken as it is,
// the last newline included; with --jsonl each line is a text of its own. Control tokens written
// out are recognised, so that a whole prompt can be given; with --plain they are text.
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kernels/support/make_error.hpp"
#include "runtime/tokenizer/tokenizer.hpp"
#include "tools/commands/command.hpp"
#include "tools/commands/shared/stopwatch.hpp"
#include "tools/commands/shared/terminal.hpp"

namespace fvlm {
namespace {

struct TokenizeOptions {
  std::string tokenizer;  // folder
  bool jsonl = false;
  bool plain = false;
};

// What was tokenized.
struct Amount {
  std::size_t texts = 0;
  std::size_t bytes = 0;
  std::size_t tokens = 0;
};

std::vector<std::int32_t> ids_of(const Tokenizer& tokenizer, const std::string& text, bool plain) {
  if (!plain) return tokenizer.encode(text);
  std::vector<std::int32_t> ids;
  static_cast<void>(tokenizer.append_text(text, ids.max_size(), ids));  // no limit
  return ids;
}

// The text of {"text": ...}; other members are ignored. `line` counts from 1.
std::string parse_line(const std::string& json, std::size_t line) {
  const nlohmann::json object = nlohmann::json::parse(json, nullptr, false);
  if (!object.is_object() || !object.contains("text") || !object["text"].is_string()) {
    throw make_error("standard input, line {}: expected {{\"text\": \"...\"}}, found {}", line,
                     object.is_discarded() ? "no valid JSON" : "other JSON");
  }
  return object["text"].get<std::string>();
}

int tokenize(const TokenizeOptions& options) {
  const Stopwatch loading;
  const Tokenizer tokenizer = Tokenizer::load(options.tokenizer);
  print_detail(fmt::format("loaded the tokenizer of {} in {:.2f} s: {} tokens", options.tokenizer,
                           loading.seconds(), tokenizer.size()));
  const Stopwatch tokenizing;
  Amount done;
  const auto ids = [&](const std::string& text) {
    const std::vector<std::int32_t> found = ids_of(tokenizer, text, options.plain);
    done = {done.texts + 1, done.bytes + text.size(), done.tokens + found.size()};
    return nlohmann::json(found);
  };
  std::ios::sync_with_stdio(false);
  if (options.jsonl) {
    std::string json;
    for (std::size_t line = 1; std::getline(std::cin, json); ++line) {
      const nlohmann::json object = {{"ids", ids(parse_line(json, line))}};
      write_output(object.dump() + "\n");
    }
  } else {
    const std::string text(std::istreambuf_iterator<char>(std::cin), {});
    write_output(ids(text).dump() + "\n");
  }
  print_detail(fmt::format("tokenized {} texts of {} bytes: {} tokens in {:.3f} s", done.texts,
                           done.bytes, done.tokens, tokenizing.seconds()));
  return kExitSuccess;
}

}  // namespace

Command add_tokenize(CLI::App& program) {
  CLI::App* parser = program.add_subcommand("tokenize", "Tokenize standard input");
  const auto options = std::make_shared<TokenizeOptions>();
  parser->add_option("--tokenizer", options->tokenizer, "Folder of the tokenizer's files")
      ->required()
      ->option_text("DIR (required)");
  parser->add_flag("--jsonl", options->jsonl, "Read lines {\"text\": ...}, write {\"ids\": [...]}");
  parser->add_flag("--plain", options->plain,
                   "Tokenize special tokens such as <|im_end|> as plain text, as prompts are");
  return {parser, [options] { return tokenize(*options); }};
}

}  // namespace fvlm
