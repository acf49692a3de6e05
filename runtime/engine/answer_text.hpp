// Detokenises an answer as its tokens come: whole characters only, without white space at its ends,
// like predict.py's strip(). White space is held back until something follows it. An answer that
// continues a text keeps what it begins with.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "runtime/tokenizer/utf8_stream.hpp"

namespace fvlm {

class AnswerText {
 public:
  explicit AnswerText(bool continues = false) : begun_(continues) {}

  // The text that is complete with these bytes; may be empty. Concatenated, the results are the
  // text.
  std::string push(std::string_view bytes) { return without_ends(utf8_.push(bytes)); }

  // Ends the text: the rest of it. White space at its end is dropped.
  std::string finish() { return without_ends(utf8_.finish()); }

  // Bytes that are held back.
  std::size_t held() const { return held_.size() + utf8_.pending(); }

 private:
  std::string without_ends(const std::string& text);

  Utf8Stream utf8_;
  std::string held_;  // white space that may be the end
  bool begun_;        // something stands before what comes
};

}  // namespace fvlm
