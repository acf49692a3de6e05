// See utf8_stream.hpp.
#include "runtime/tokenizer/utf8_stream.hpp"

#include "runtime/tokenizer/unicode.hpp"

namespace fvlm {

std::string Utf8Stream::push(std::string_view bytes) {
  pending_ += bytes;
  std::string_view rest = pending_;
  std::string text;
  while (!rest.empty()) {
    const Utf8Character character = first_character(rest);
    if (character.status == Utf8Status::kIncomplete) break;
    append_utf8(character.code_point, text);
    rest.remove_prefix(character.length);
  }
  pending_.erase(0, pending_.size() - rest.size());
  return text;
}

std::string Utf8Stream::finish() {
  std::string text;
  if (!pending_.empty()) append_utf8(kReplacementCharacter, text);
  pending_.clear();
  return text;
}

}  // namespace fvlm
