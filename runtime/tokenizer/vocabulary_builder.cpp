// See vocabulary.hpp: the checks that tokens, ids and merges agree.
#include <algorithm>
#include <memory_resource>
#include <optional>
#include <unordered_map>
#include <utility>

#include "kernels/support/make_error.hpp"
#include "runtime/config/json_file.hpp"
#include "runtime/tokenizer/unicode.hpp"
#include "runtime/tokenizer/vocabulary.hpp"

namespace fvlm {
namespace {

constexpr int kNoByte = -1;

// The byte that each character of GPT-2's alphabet stands for. Printable Latin-1 characters stand
// for themselves, the other bytes for 256 and up in ascending order.
constexpr auto kAlphabet = [] {
  std::array<int, 324> bytes{};
  bytes.fill(kNoByte);
  std::size_t next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    bytes[printable ? static_cast<std::size_t>(byte) : next++] = byte;
  }
  return bytes;
}();

// The bytes that `text` writes; nothing if it has a character outside the alphabet.
std::optional<std::string> bytes_of(std::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    const Utf8Character character = first_character(text);
    text.remove_prefix(character.length);
    if (character.code_point >= kAlphabet.size()) return std::nullopt;
    const int byte = kAlphabet[character.code_point];
    if (byte == kNoByte) return std::nullopt;
    bytes.push_back(static_cast<char>(byte));
  }
  return bytes;
}

// Token ids by their bytes. The views point into the tokens.
class TokenIndex {
 public:
  TokenIndex(const std::vector<std::string>& tokens, const std::string& file) {
    ids_.reserve(tokens.size());
    for (std::size_t id = 0; id < tokens.size(); ++id) {
      if (tokens[id].empty()) continue;
      const auto [entry, is_new] = ids_.emplace(tokens[id], static_cast<std::int32_t>(id));
      if (!is_new) {
        throw make_error("{}: token {} occurs twice, with ids {} and {}", file,
                         in_quotes(tokens[id]), entry->second, id);
      }
    }
  }

  std::optional<std::int32_t> find(std::string_view bytes) const {
    const auto entry = ids_.find(bytes);
    if (entry == ids_.end()) return std::nullopt;
    return entry->second;
  }

 private:
  // One block for all entries: 150,000 single allocations would take most of the loading time.
  std::pmr::monotonic_buffer_resource memory_;
  std::pmr::unordered_map<std::string_view, std::int32_t> ids_{&memory_};
};

std::array<std::int32_t, 256> find_byte_tokens(const TokenIndex& index, const std::string& file) {
  std::array<std::int32_t, 256> ids{};
  for (std::size_t byte = 0; byte < ids.size(); ++byte) {
    const auto id = index.find(std::string(1, static_cast<char>(byte)));
    if (!id) throw make_error("{}: no token for the single byte 0x{:02x}", file, byte);
    ids[byte] = *id;
  }
  return ids;
}

}  // namespace

void VocabularyBuilder::add_token(std::string_view text, std::int32_t id, const std::string& file) {
  auto bytes = bytes_of(text);
  if (!bytes) {
    throw make_error("{}: token {} has a character that stands for no byte", file, in_quotes(text));
  }
  set_bytes(std::move(*bytes), id, file);
}

void VocabularyBuilder::add_added_token(AddedToken token, const std::string& file) {
  set_bytes(token.text, token.id, file);
  token.special |= token.text.starts_with("<|") && token.text.ends_with("|>");
  auto& added = vocabulary_.added;
  const auto [place, is_new] = added_.try_emplace(token.id, added.size());
  if (is_new) {
    added.push_back(std::move(token));
  } else {
    added[place->second].special = token.special;
  }
}

void VocabularyBuilder::set_bytes(std::string bytes, std::int32_t id, const std::string& file) {
  if (bytes.empty()) throw make_error("{}: the token with id {} is empty", file, id);
  auto& tokens = vocabulary_.tokens;
  const auto index = static_cast<std::size_t>(id);
  if (index >= tokens.size()) tokens.resize(index + 1);
  if (!tokens[index].empty() && tokens[index] != bytes) {
    throw make_error("{}: token {} has id {}, which {} has already", file, in_quotes(bytes), id,
                     in_quotes(tokens[index]));
  }
  tokens[index] = std::move(bytes);
}

Vocabulary VocabularyBuilder::finish(const std::vector<MergeRule>& rules, const std::string& file,
                                     std::string_view unit, const std::string& vocabulary_file) {
  const TokenIndex index(vocabulary_.tokens, vocabulary_file);
  vocabulary_.byte_tokens = find_byte_tokens(index, vocabulary_file);
  vocabulary_.merges = MergeTable(rules.size());
  std::uint32_t rank = 0;
  for (const MergeRule& rule : rules) {
    const auto fail = [&](std::string_view what) {
      throw make_error("{}: {} {}: merge {} {}", file, unit, rule.number, in_quotes(rule.text),
                       what);
    };
    const std::string_view text = rule.text;
    const std::size_t space = text.find(' ');
    if (space == 0 || space >= text.size() - 1 || text.find(' ', space + 1) != text.npos) {
      fail("is not two tokens with a space between");
    }
    const auto left_bytes = bytes_of(text.substr(0, space));
    const auto right_bytes = bytes_of(text.substr(space + 1));
    if (!left_bytes || !right_bytes) fail("has a character that stands for no byte");
    const auto left = index.find(*left_bytes);
    const auto right = index.find(*right_bytes);
    if (!left || !right) fail("joins a token that the vocabulary does not have");
    const auto result = index.find(*left_bytes + *right_bytes);
    if (!result) fail("makes a token that the vocabulary does not have");
    if (!vocabulary_.merges.insert(*left, *right, {rank++, *result})) fail("occurs twice");
  }
  return std::move(vocabulary_);
}

}  // namespace fvlm
