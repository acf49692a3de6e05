// See tokenizer.hpp.
#include "runtime/tokenizer/tokenizer.hpp"

#include <algorithm>
#include <utility>

#include "kernels/support/make_error.hpp"
#include "runtime/tokenizer/pre_split.hpp"
#include "runtime/tokenizer/unicode.hpp"
#include "runtime/tokenizer/utf8_stream.hpp"

namespace fvlm {
namespace {

// Normalisation can triple a text and positions in a word have 32 bits.
constexpr std::size_t kMaxTextBytes = std::size_t{1} << 30;

std::vector<AddedToken> without_control_tokens(std::vector<AddedToken> tokens) {
  std::erase_if(tokens, [](const AddedToken& token) { return token.special; });
  return tokens;
}

}  // namespace

Tokenizer Tokenizer::load(const std::filesystem::path& folder) {
  return Tokenizer(read_vocabulary(folder));
}

Tokenizer::Tokenizer(Vocabulary vocabulary)
    : vocabulary_(std::move(vocabulary)),
      all_(vocabulary_.added),
      words_(without_control_tokens(vocabulary_.added)) {
  for (const std::string& token : vocabulary_.tokens) {
    longest_token_ = std::max(longest_token_, token.size());
  }
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<std::int32_t> ids;
  append(text, all_, ids.max_size(), ids);
  return ids;
}

bool Tokenizer::append_text(std::string_view text, std::size_t most,
                            std::vector<std::int32_t>& ids) const {
  return append(text, words_, most, ids);
}

bool Tokenizer::append_template(std::string_view text, std::size_t most,
                                std::vector<std::int32_t>& ids) const {
  return append(text, all_, most, ids);
}

bool Tokenizer::append(std::string_view text, const Cutter& cutter, std::size_t most,
                       std::vector<std::int32_t>& ids) const {
  if (text.size() > kMaxTextBytes) {
    throw make_error("text of {} bytes to tokenise, expected at most {}", text.size(),
                     kMaxTextBytes);
  }
  BytePairEncoder encoder(vocabulary_.byte_tokens, vocabulary_.merges);
  const auto append_plain = [&](std::string_view plain) {
    const std::string normalised = to_nfc(plain);
    for (std::string_view rest = normalised; !rest.empty();) {
      const std::size_t length = first_piece_length(rest);
      // A long piece need not be merged to know how many tokens it has at least.
      if (ids.size() > most || length / longest_token_ > most - ids.size()) return false;
      encoder.encode(rest.substr(0, length), ids);
      rest.remove_prefix(length);
    }
    return true;
  };
  std::size_t position = 0;
  while (const auto match = cutter.find(text, position)) {
    if (!append_plain(text.substr(position, match->position - position))) return false;
    ids.push_back(match->token->id);
    if (ids.size() > most) return false;
    position = match->position + match->token->text.size();
  }
  return append_plain(text.substr(position)) && ids.size() <= most;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool keep_special) const {
  std::string bytes;
  for (const std::int32_t id : ids) {
    if (keep_special || !is_special(id)) bytes += token_bytes(id);
  }
  Utf8Stream stream;
  const std::string text = stream.push(bytes);
  return text + stream.finish();
}

std::string_view Tokenizer::token_bytes(std::int32_t id) const {
  if (id < 0 || id >= size()) return {};
  return vocabulary_.tokens[static_cast<std::size_t>(id)];
}

std::optional<std::int32_t> Tokenizer::special_token(std::string_view text) const {
  for (const AddedToken& token : vocabulary_.added) {
    if (token.text == text) return token.id;
  }
  return std::nullopt;
}

bool Tokenizer::is_special(std::int32_t id) const {
  return std::any_of(vocabulary_.added.begin(), vocabulary_.added.end(),
                     [id](const AddedToken& token) { return token.id == id && token.special; });
}

Tokenizer::Cutter::Cutter(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::sort(tokens_.begin(), tokens_.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.text.size() > b.text.size(); });
  for (const AddedToken& token : tokens_) {
    const char first = token.text.front();
    if (first_bytes_.find(first) == std::string::npos) first_bytes_ += first;
  }
}

std::optional<Tokenizer::Cutter::Match> Tokenizer::Cutter::find(std::string_view text,
                                                                std::size_t position) const {
  for (; (position = text.find_first_of(first_bytes_, position)) != text.npos; ++position) {
    for (const AddedToken& token : tokens_) {
      if (text.substr(position).starts_with(token.text)) return Match{position, &token};
    }
  }
  return std::nullopt;
}

}  // namespace fvlm
