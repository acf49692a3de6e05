// Text that arrives in pieces cut anywhere. One token may hold part of a character, and a
// WebSocket refuses invalid UTF-8, so incomplete characters wait for their remaining bytes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace fvlm {

// Every returned piece is valid UTF-8. However the input is cut, the pieces joined are the input
// with each invalid sequence replaced by one U+FFFD.
class Utf8Stream {
 public:
  // All characters that are complete with `bytes`; may be empty.
  std::string push(std::string_view bytes);

  // Ends the stream: U+FFFD if a character was left incomplete, else nothing. The stream can then
  // be used anew.
  std::string finish();

  // Bytes of a character that is not complete.
  std::size_t pending() const { return pending_.size(); }

 private:
  std::string pending_;  // the start of one character, at most 3 bytes
};

}  // namespace fvlm
