// Detokenises an answer as its tokens come: whole characters only, without white space at its ends,
// like predict.py's strip(). White space is held back until something follows it.
#pragma once

#include <string>
#include <string_view>

#include "runtime/tokenizer/utf8_stream.hpp"

namespace fvlm {

class AnswerText {
 public:
  // The text that is complete with these bytes; may be empty. Concatenated, the results are the
  // text.
  std::string push(std::string_view bytes) { return without_ends(utf8_.push(bytes)); }

  // Ends the text: the rest of it. White space at its end is dropped.
  std::string finish() { return without_ends(utf8_.finish()); }

 private:
  std::string without_ends(const std::string& text);

  Utf8Stream utf8_;
  std::string held_;    // white space that may be the end
  bool begun_ = false;  // some text was returned
};

}  // namespace fvlm
