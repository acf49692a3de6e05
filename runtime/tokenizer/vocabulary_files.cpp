// See vocabulary.hpp: the formats of the files a checkpoint folder may hold.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <system_error>

#include "kernels/support/make_error.hpp"
#include "runtime/config/config_keys.hpp"
#include "runtime/config/json_file.hpp"
#include "runtime/config/json_leaves.hpp"
#include "runtime/support/mapped_file.hpp"
#include "runtime/tokenizer/pre_split.hpp"
#include "runtime/tokenizer/vocabulary.hpp"

namespace fvlm {
namespace {

using nlohmann::json;
using std::filesystem::path;

constexpr std::string_view kVocabulary = "vocab.json";
constexpr std::string_view kMerges = "merges.txt";
constexpr std::string_view kAddedTokens = "added_tokens.json";
constexpr std::string_view kConfig = "tokenizer_config.json";
constexpr std::string_view kSingleFile = "tokenizer.json";
constexpr std::int32_t kMaxTokenId = (1 << 22) - 1;

bool has(const path& folder, std::string_view name) {
  std::error_code ignored;
  return exists(folder / name, ignored);
}

std::string_view text_of(const MappedFile& file) {
  const auto bytes = file.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// `value` as the id of `token`.
std::int32_t id_of(const json& value, std::string_view token, const std::string& file) {
  const bool in_range = value.is_number_integer() && value >= 0 && value <= kMaxTokenId;
  if (!in_range) {
    throw make_error("{}: token {} has id {}, expected a whole number from 0 to {}", file,
                     in_quotes(token), in_quotes(value.dump()), kMaxTokenId);
  }
  return value.get<std::int32_t>();
}

// An entry of tokenizer.json's added_tokens or of tokenizer_config.json's added_tokens_decoder.
void add_described_token(VocabularyBuilder& builder, const json& entry, const json& id,
                         const std::string& file) {
  const auto content = entry.find("content");
  if (content == entry.end() || !content->is_string()) {
    throw make_error("{}: the added token with id {} has no \"content\"", file,
                     in_quotes(id.dump()));
  }
  const auto text = content->get<std::string>();
  for (const char* flag : {"lstrip", "rstrip", "single_word"}) {
    if (entry.contains(flag) && entry[flag] == true) {
      throw make_error("{}: added token {}: \"{}\": true is not supported", file, in_quotes(text),
                       flag);
    }
  }
  const bool special = entry.contains("special") && entry["special"] == true;
  builder.add_added_token({text, id_of(id, text, file), special}, file);
}

// added_tokens.json: {"text": id}. It does not say which are special, so all of them are.
void read_added_tokens(VocabularyBuilder& builder, const path& path) {
  const json tokens = read_json_object(path);
  for (const auto& [text, id] : tokens.items()) {
    builder.add_added_token({text, id_of(id, text, path.string()), true}, path.string());
  }
}

// tokenizer_config.json: {"added_tokens_decoder": {"id": {"content": text, "special": flag}}}.
void read_tokenizer_config(VocabularyBuilder& builder, const path& path) {
  const json config = read_json_object(path);
  const ConfigObject object(path.string(), config);
  check_keys(object, tokenizer_config_keys(), {});
  if (!object.object("added_tokens_decoder")) return;
  for (const auto& [id, entry] : config["added_tokens_decoder"].items()) {
    add_described_token(builder, entry, json::parse(id, nullptr, false), path.string());
  }
}

std::vector<VocabularyBuilder::MergeRule> read_merges(const path& path) {
  const MappedFile file(path);
  const std::string_view text = text_of(file);
  std::vector<VocabularyBuilder::MergeRule> rules;
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    const bool is_header = number == 1 && line.starts_with("#version");
    if (!is_header && !line.empty()) rules.push_back({std::string(line), number});
  }
  return rules;
}

Vocabulary read_separate_files(const path& folder) {
  VocabularyBuilder builder;
  const MappedFile vocabulary(folder / kVocabulary);
  const std::string vocabulary_file = vocabulary.path().string();
  for_each_json_leaf(text_of(vocabulary), vocabulary_file,
                     [&](std::string_view, std::string_view text, const json& id) {
                       builder.add_token(text, id_of(id, text, vocabulary_file), vocabulary_file);
                     });
  if (has(folder, kAddedTokens)) read_added_tokens(builder, folder / kAddedTokens);
  if (has(folder, kConfig)) read_tokenizer_config(builder, folder / kConfig);
  const path merges = folder / kMerges;
  return builder.finish(read_merges(merges), merges.string(), "line", vocabulary_file);
}

// A text found in tokenizer.json's model.merges. A merge is "left right" in older files, the pair
// ["left", "right"] in newer ones, which is put together here.
void add_merge_text(std::vector<VocabularyBuilder::MergeRule>& rules, std::string_view where,
                    std::string_view key, const json& value, const std::string& file) {
  if (!value.is_string()) {
    throw make_error("{}: {} holds {}, expected texts", file, where, in_quotes(value.dump()));
  }
  const auto& text = value.get_ref<const std::string&>();
  const bool continues_pair = where != "model.merges" && key != "0" && !rules.empty();
  if (continues_pair) {
    rules.back().text += ' ' + text;
  } else {
    rules.push_back({text, rules.size()});
  }
}

// tokenizer.json of the Hugging Face library `tokenizers`.
Vocabulary read_tokenizer_json(const path& path) {
  const MappedFile mapped(path);
  const std::string file = path.string();
  VocabularyBuilder builder;
  std::vector<VocabularyBuilder::MergeRule> rules;
  std::map<std::string, json> added;
  std::string type = "no";
  const auto visit = [&](std::string_view where, std::string_view key, const json& value) {
    if (where == "model.vocab") {
      builder.add_token(key, id_of(value, key, file), file);
    } else if (where.starts_with("model.merges")) {
      add_merge_text(rules, where, key, value, file);
    } else if (where.starts_with("added_tokens.")) {
      added[std::string(where)][std::string(key)] = value;
    } else if (where == "model" && key == "type") {
      type = value.dump();
    } else if (where.starts_with("pre_tokenizer") && key == "Regex" && value != kPreSplitPattern) {
      throw make_error("{}: the pre_tokenizer splits by {}, expected Qwen2's pattern", file,
                       in_quotes(value.dump()));
    }
  };
  for_each_json_leaf(text_of(mapped), file, visit);
  if (type != "\"BPE\"")
    throw make_error("{}: expected a model of type \"BPE\", found {}", file, type);
  for (const auto& [where, entry] : added) {
    add_described_token(builder, entry, entry.value("id", json()), file);
  }
  return builder.finish(rules, file, "merge", file);
}

}  // namespace

bool has_vocabulary(const path& folder) {
  return has(folder, kVocabulary) || has(folder, kMerges) || has(folder, kSingleFile);
}

Vocabulary read_vocabulary(const path& folder) {
  if (has(folder, kVocabulary) || has(folder, kMerges)) return read_separate_files(folder);
  if (has(folder, kSingleFile)) return read_tokenizer_json(folder / kSingleFile);
  std::error_code none;
  if (!std::filesystem::is_directory(folder, none)) {
    throw make_error("{}: no such folder", folder.string());
  }
  throw make_error("{}: no tokeniser in this folder; expected {} and {}, or {}", folder.string(),
                   kVocabulary, kMerges, kSingleFile);
}

}  // namespace fvlm
