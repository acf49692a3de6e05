// JSON texts of others, read with care, and ours, written.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace fvlm::net {

using Json = nlohmann::ordered_json;

// The object that a text holds. Nothing if it holds none, or nests deeper than any message of ours:
// some thousand brackets would use up the stack of whoever writes the value out again.
inline std::optional<Json> parse_object(std::string_view text) {
  constexpr int kDeepest = 32;
  bool too_deep = false;
  const auto keep = [&too_deep](int depth, Json::parse_event_t, const Json&) {
    too_deep |= depth > kDeepest;
    return !too_deep;  // what is not kept does not nest
  };
  Json value = Json::parse(text, keep, false);
  if (too_deep || !value.is_object()) return std::nullopt;
  return value;
}

// Texts of a model are valid UTF-8; those of others, such as a file's name, need not be.
inline std::string dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace fvlm::net
