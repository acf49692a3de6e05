// See json.hpp. The limits are checked in a pass of its own over the bytes: the parser's callback
// makes it look through all values of an array at the end of each of them.
#include "net/protocol/json.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace fvlm::net {
namespace {

// The place of the quote that ends the string which begins at `begin`, or the end of the text.
std::size_t end_of_string(std::string_view text, std::size_t begin) {
  std::size_t i = begin + 1;
  while (i < text.size() && text[i] != '"') i += text[i] == '\\' ? 2 : 1;
  return i;
}

// Which limit a text is beyond; empty if none. Of a text that is no JSON, up to where it ceases to
// be, which is as far as the parser goes.
std::string find_excess(std::string_view text) {
  std::array<std::size_t, kDeepestJson + 1> keys{};  // of what is open, by its depth
  std::size_t depth = 0;
  std::size_t values = 1;
  for (std::size_t i = 0; i < text.size(); ++i) {
    switch (text[i]) {
      case '"':
        i = end_of_string(text, i);
        break;
      case '{':
      case '[':
        if (++depth > kDeepestJson) return fmt::format("nests deeper than {} levels", kDeepestJson);
        keys[depth] = 0;
        ++values;
        break;
      case '}':
      case ']':
        if (depth > 0) --depth;
        break;
      case ',':
        ++values;
        break;
      case ':':
        if (++keys[depth] > kMostJsonKeys) {
          return fmt::format("has an object of more than {} keys", kMostJsonKeys);
        }
        break;
      default:
        break;
    }
    if (values > kMostJsonValues) return fmt::format("has more than {} values", kMostJsonValues);
  }
  return {};
}

}  // namespace

ParsedObject parse_object(std::string_view text) {
  if (std::string excess = find_excess(text); !excess.empty()) return {{}, std::move(excess)};
  if (text.empty()) return {{}, "is empty; it must be a JSON object"};
  try {
    Json value = Json::parse(text);
    if (!value.is_object()) return {{}, "must be a JSON object"};
    return {std::move(value), {}};
  } catch (const Json::parse_error& error) {
    return {{}, fmt::format("is not JSON: something is wrong at byte {}", error.byte)};
  } catch (const Json::exception&) {  // a number that no double holds
    return {{}, "is not JSON: a number is too large"};
  }
}

std::string dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace fvlm::net
