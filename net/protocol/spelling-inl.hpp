// How a message is spelled as a JSON object: a list of its parts, in the order in which they are
// written. The same list writes and reads, so that each key stands in one place.
//
//   template <>
//   struct Spelling<Token> {
//     static constexpr auto kParts = std::tuple(Type{"token"}, Field{"content", &Token::content});
//   };
//
// A part has write(message, json) and read(json, message), which says what is wrong with a value
// that is there, or nothing; the message then keeps what it had.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "net/protocol/json.hpp"
#include "net/protocol/messages.hpp"

namespace fvlm::protocol {

using net::Json;

template <class Message>
struct Spelling;

// Parts ------------------------------------------------------------------------------------------

// The message's name, under "type".
struct Type {
  std::string_view name;

  template <class Message>
  void write(const Message&, Json& json) const {
    json["type"] = name;
  }
  template <class Message>
  std::string read(const Json&, Message&) const {
    return {};
  }
};

// What a value would have to be to be a T; nothing if it is one.
template <class T>
const char* missing_kind(const Json& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    return value.is_string() ? nullptr : "a text";
  } else if constexpr (std::is_same_v<T, bool>) {
    return value.is_boolean() ? nullptr : "true or false";
  } else if constexpr (std::is_floating_point_v<T>) {
    return value.is_number() ? nullptr : "a number";
  } else {
    return value.is_number_integer() ? nullptr : "a whole number";
  }
}

template <class T>
struct Plain {
  using Value = T;
};
template <class T>
struct Plain<std::optional<T>> {
  using Value = T;
};

// A value, or an optional one, which is absent if it is empty.
template <class Message, class T>
struct Field {
  using Value = typename Plain<T>::Value;
  const char* key;
  T Message::*member;

  void write(const Message& message, Json& json) const {
    if constexpr (std::is_same_v<T, Value>) {
      json[key] = message.*member;
    } else if (message.*member) {
      json[key] = *(message.*member);
    }
  }
  std::string read(const Json& json, Message& message) const {
    const auto value = json.find(key);
    if (value == json.end()) return {};
    if (const char* kind = missing_kind<Value>(*value)) {
      return fmt::format("\"{}\" must be {}", key, kind);
    }
    message.*member = value->template get<Value>();
    return {};
  }
};
template <class Message, class T>
Field(const char*, T Message::*) -> Field<Message, T>;

// A number that is written as 0 and not as 0.0 if it is whole.
template <class Message>
struct Number : Field<Message, std::optional<double>> {
  void write(const Message& message, Json& json) const {
    const std::optional<double>& value = message.*this->member;
    const bool is_whole = value && std::trunc(*value) == *value && std::abs(*value) < 1e15;
    if (is_whole) {
      json[this->key] = static_cast<std::int64_t>(*value);
    } else if (value) {
      json[this->key] = *value;
    }
  }
};
template <class Message>
Number(const char*, std::optional<double> Message::*) -> Number<Message>;

// True, or absent.
template <class Message>
struct Flag {
  const char* key;
  bool Message::*member;

  void write(const Message& message, Json& json) const {
    if (message.*member) json[key] = true;
  }
  std::string read(const Json& json, Message& message) const {
    const auto value = json.find(key);
    message.*member = value != json.end() && *value == true;
    return {};
  }
};
template <class Message>
Flag(const char*, bool Message::*) -> Flag<Message>;

// Any JSON value, which a message holds as text.
template <class Message>
struct AnyValue {
  const char* key;
  std::optional<std::string> Message::*member;

  void write(const Message& message, Json& json) const {
    if (message.*member) json[key] = Json::parse(*(message.*member));
  }
  std::string read(const Json& json, Message& message) const {
    if (json.contains(key)) message.*member = net::dump(json[key]);
    return {};
  }
};
template <class Message>
AnyValue(const char*, std::optional<std::string> Message::*) -> AnyValue<Message>;

// Messages ---------------------------------------------------------------------------------------

template <class Message>
std::string write_parts(const Message& message) {
  Json json = Json::object();
  std::apply([&](const auto&... part) { (part.write(message, json), ...); },
             Spelling<Message>::kParts);
  return net::dump(json);
}

// The first thing that is wrong with a field, or nothing. All others are read.
template <class Message>
std::string read_parts(const Json& json, Message& message) {
  std::string first;
  const auto read = [&](const auto& part) {
    std::string problem = part.read(json, message);
    if (first.empty()) first = std::move(problem);
  };
  std::apply([&](const auto&... part) { (read(part), ...); }, Spelling<Message>::kParts);
  return first;
}

// What becomes of a field whose value has a wrong type.
enum class WrongField { kIsRefused, kIsAbsent };

// The message that a text is, of those that may come.
template <class... Messages>
std::variant<Messages..., Unreadable> read_one_of(std::string_view text, WrongField wrong) {
  const auto parsed = net::parse_object(text);
  if (!parsed.problem.empty()) return Unreadable{"a text message " + parsed.problem};
  const auto type = parsed.object.find("type");
  if (type == parsed.object.end() || !type->is_string()) {
    return Unreadable{"a message needs a \"type\""};
  }
  std::variant<Messages..., Unreadable> read = Unreadable{};
  std::string names;
  bool known = false;
  const auto try_as = [&](auto message) {
    const std::string_view name = std::get<Type>(Spelling<decltype(message)>::kParts).name;
    names += fmt::format("{}\"{}\"", names.empty() ? "" : " or ", name);
    if (*type != name) return;
    known = true;
    const std::string problem = read_parts(parsed.object, message);
    if (problem.empty() || wrong == WrongField::kIsAbsent) {
      read = std::move(message);
    } else {
      read = Unreadable{problem};
    }
  };
  (try_as(Messages{}), ...);
  if (!known) read = Unreadable{"\"type\" must be " + names};
  return read;
}

}  // namespace fvlm::protocol
