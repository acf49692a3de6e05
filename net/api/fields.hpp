// The fields of a request: which it may have, and their values, with the error that names what is
// wrong with one.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>

#include "net/api/api_error.hpp"
#include "net/protocol/json.hpp"

namespace fvlm::net {

// A value, or what is wrong with it.
template <class T>
using Read = std::variant<T, ApiError>;

inline ApiError wrong(std::string param, std::string message, std::string code = {}) {
  return {.message = std::move(message), .param = std::move(param), .code = std::move(code)};
}

// The field of an object; null counts as absent.
inline const Json* field(const Json& object, const char* key) {
  const auto value = object.find(key);
  return value == object.end() || value->is_null() ? nullptr : &*value;
}

// Set the value if there is one.
std::optional<ApiError> read_number(const Json& object, const char* key, double& value);
std::optional<ApiError> read_integer(const Json& object, const char* key, std::int64_t& value);
std::optional<ApiError> read_text(const Json& object, const char* key, std::string& value);
std::optional<ApiError> read_flag(const Json& object, const char* key, bool& value);

// A field that requests may have. Nothing that a client asks for is ignored: what is neither
// honoured nor without any effect here is refused by its name.
struct KnownField {
  const char* name;
  // Which values are taken: null if the reader looks at them, kAnything, or a JSON array of those
  // that ask for nothing special.
  const char* values = nullptr;
  const char* why = "";  // no other value, or any, is taken
};
inline constexpr const char* kAnything = "*";

// Checks the fields of an object, whose place in the request is `place`, such as "messages[2]".
// A field that is null counts as absent.
std::optional<ApiError> check_fields(const Json& object, const std::string& place,
                                     std::initializer_list<std::span<const KnownField>> known);

}  // namespace fvlm::net
