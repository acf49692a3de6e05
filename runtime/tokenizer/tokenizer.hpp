// Qwen2's tokeniser. Text to ids: added tokens are cut out, the rest is brought to normalisation
// form C, split into pieces (pre_split.hpp), and the bytes of each piece are merged in pairs
// (byte_pair.hpp). Ids to text: the tokens' bytes joined.
//
// Control tokens such as <|im_end|> delimit roles. The threat is a prompt that contains their names
// and so forges a turn: append_text() encodes them as plain text. Only encode() and
// append_template(), for texts whose writer speaks for all roles, make control tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/vocabulary.hpp"

namespace fvlm {

// Constant once loaded, so one object serves any number of threads.
class Tokenizer {
 public:
  // Loads the tokeniser of a checkpoint folder; read_vocabulary says from which files. Throws
  // Error if files are missing, damaged, or contradict one another.
  static Tokenizer load(const std::filesystem::path& folder);

  // The ids of `text`, at most 1 GiB (else throws Error). Control tokens written out in the text
  // are recognised; every sequence that is not valid UTF-8 is read as one U+FFFD.
  std::vector<std::int32_t> encode(std::string_view text) const;

  // Appends the ids of `text` without any control token. False if `ids` would come to hold more
  // than `most`, as soon as that is known: some of them are missing then.
  [[nodiscard]] bool append_text(std::string_view text, std::size_t most,
                                 std::vector<std::int32_t>& ids) const;

  // The same for a text in which control tokens are recognised, as in encode().
  [[nodiscard]] bool append_template(std::string_view text, std::size_t most,
                                     std::vector<std::int32_t>& ids) const;

  // The text of `ids`, always valid UTF-8: a sequence of bytes that is not becomes one U+FFFD.
  // Ids without a token add nothing. encode's input comes back in normalisation form C.
  std::string decode(std::span<const std::int32_t> ids, bool keep_special = true) const;

  // The bytes of one token, often not whole characters (see Utf8Stream). Empty for ids without a
  // token: the embedding has more rows than the vocabulary has tokens. Valid as long as this is.
  std::string_view token_bytes(std::int32_t id) const;

  // The id of a token that is cut out whole, e.g. "<|im_end|>", if there is one of this text.
  std::optional<std::int32_t> special_token(std::string_view text) const;

  // Whether the id is a control token rather than text.
  bool is_special(std::int32_t id) const;

  // The highest id + 1.
  std::int32_t size() const { return static_cast<std::int32_t>(vocabulary_.tokens.size()); }

 private:
  // Tokens that are cut out whole.
  class Cutter {
   public:
    struct Match {
      std::size_t position;
      const AddedToken* token;
    };

    explicit Cutter(std::vector<AddedToken> tokens);
    // The first one in `text` from `position` on, the longest if several start there.
    std::optional<Match> find(std::string_view text, std::size_t position) const;

   private:
    std::vector<AddedToken> tokens_;  // the longest first
    std::string first_bytes_;         // of all
  };

  explicit Tokenizer(Vocabulary vocabulary);

  bool append(std::string_view text, const Cutter& cutter, std::size_t most,
              std::vector<std::int32_t>& ids) const;

  Vocabulary vocabulary_;
  Cutter all_;                     // added tokens
  Cutter words_;                   // of these, the ones that are text
  std::size_t longest_token_ = 1;  // bytes
};

}  // namespace fvlm
