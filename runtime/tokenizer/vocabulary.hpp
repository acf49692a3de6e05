// The contents of a tokeniser's files, checked: tokens as raw bytes, merges as token ids.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/byte_pair.hpp"

namespace fvlm {

// A token that is cut out of the text whole, before anything else is done with it.
struct AddedToken {
  std::string text;
  std::int32_t id;
  bool special;  // a control token, such as <|im_end|>, rather than text
};

struct Vocabulary {
  std::vector<std::string> tokens;            // bytes by id; empty where no token has the id
  std::array<std::int32_t, 256> byte_tokens;  // ids of the single bytes
  MergeTable merges;
  std::vector<AddedToken> added;
};

// Reads the tokeniser of a checkpoint folder: vocab.json and merges.txt, with added tokens from
// added_tokens.json and from added_tokens_decoder in tokenizer_config.json, each if it is there;
// or, in a folder with neither vocab.json nor merges.txt, tokenizer.json. Throws Error.
Vocabulary read_vocabulary(const std::filesystem::path& folder);
// Whether there are such files.
bool has_vocabulary(const std::filesystem::path& folder);

// Puts a Vocabulary together and checks it. Files write the bytes of a token in GPT-2's alphabet,
// in which every byte is a printable character ("Ġ" is a space). Every function throws Error for
// a contradiction; its message names `file`.
class VocabularyBuilder {
 public:
  // A merge as files write it, "left right", and its line or index there for messages.
  struct MergeRule {
    std::string text;
    std::size_t number;
  };

  // Adds a token of the vocabulary. An id, at least 0, has one token.
  void add_token(std::string_view text, std::int32_t id, const std::string& file);

  // Adds or repeats a token that is cut out whole; the last value of `special` counts, except for
  // names like <|im_end|>, which Qwen's files do not always call special.
  void add_added_token(AddedToken token, const std::string& file);

  // The result: merges rank in the order of `rules`, found in `file`; `unit` is what a rule's
  // number counts, "line" or "merge". The tokens were read from `vocabulary_file`.
  Vocabulary finish(const std::vector<MergeRule>& rules, const std::string& file,
                    std::string_view unit, const std::string& vocabulary_file);

 private:
  void set_bytes(std::string bytes, std::int32_t id, const std::string& file);

  Vocabulary vocabulary_;
  std::map<std::int32_t, std::size_t> added_;  // places of the added tokens, by their ids
};

}  // namespace fvlm
