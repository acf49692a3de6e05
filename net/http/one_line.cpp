#include "net/http/one_line.hpp"

#include <fmt/format.h>

namespace fvlm::net {
namespace {

bool continues_character(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) == 0x80;
}

// The beginning of `text` in at most `most` bytes that cuts no character.
std::string_view beginning(std::string_view text, std::size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && continues_character(text[most])) --most;
  return text.substr(0, most);
}

}  // namespace

std::string one_line(std::string_view text, std::size_t most) {
  const std::string_view kept = beginning(text, most);
  std::string line;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    const auto byte = static_cast<unsigned char>(kept[i]);
    const auto next = static_cast<unsigned char>(i + 1 < kept.size() ? kept[i + 1] : 0);
    if (byte == '\n') {
      line += "\\n";
    } else if (byte < 0x20 || byte == 0x7F) {
      line += fmt::format("\\x{:02x}", byte);
    } else if (byte == 0xC2 && next >= 0x80 && next < 0xA0) {  // U+0080 to U+009F
      line += fmt::format("\\x{:02x}", next);
      ++i;
    } else {
      line += kept[i];
    }
  }
  if (kept.size() < text.size()) line += "…";
  return line;
}

}  // namespace fvlm::net
