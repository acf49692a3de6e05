// The fields of a request, with the error that names what is wrong with one.
#pragma once

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

}  // namespace fvlm::net
