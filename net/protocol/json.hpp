// JSON texts of others, read with care, and ours, written.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace fvlm::net {

using Json = nlohmann::ordered_json;

// What a text of others must keep to, so that reading it costs a small multiple of its size in time
// and memory: some thousand brackets would use up the stack of whoever writes the value out again,
// a value takes up to fifty times its two bytes, and each key of an object is compared with the
// others.
inline constexpr std::size_t kDeepestJson = 32;  // levels
inline constexpr std::size_t kMostJsonValues = std::size_t{1} << 20;
inline constexpr std::size_t kMostJsonKeys = 320;  // of an object

struct ParsedObject {
  Json object{};
  std::string problem{};  // what is wrong with the text, e.g. "must be a JSON object", if it is
};
ParsedObject parse_object(std::string_view text);

// Texts of a model are valid UTF-8; those of others, such as a file's name, need not be.
std::string dump(const Json& value);

}  // namespace fvlm::net
