#include "net/protocol/messages.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <tuple>

#include "net/protocol/spelling-inl.hpp"

namespace fvlm::protocol {

template <>
struct Spelling<Configure> {
  static constexpr auto kParts = std::tuple(
      Field{"max_new_tokens", &Configure::max_new_tokens}, Field{"prompt", &Configure::prompt},
      AnyValue{"request_id", &Configure::request_id}, Field{"stream", &Configure::stream},
      Number{"temperature", &Configure::temperature}, Type{"configure"},
      Number{"unchanged_below", &Configure::unchanged_below});
};

template <>
struct Spelling<Cancel> {
  static constexpr auto kParts = std::tuple(Type{"cancel"});
};

template <>
struct Spelling<Description> {
  static constexpr auto kParts = std::tuple(
      Type{"description"}, Field{"content", &Description::content},
      Field{"timestamp", &Description::timestamp}, Field{"frame_id", &Description::frame_id},
      Field{"ttft_ms", &Description::ttft_ms}, Field{"total_ms", &Description::total_ms},
      Field{"tokens", &Description::tokens}, Flag{"unchanged", &Description::unchanged},
      Field{"prompt", &Description::prompt}, AnyValue{"request_id", &Description::request_id});
};

template <>
struct Spelling<Token> {
  static constexpr auto kParts = std::tuple(Type{"token"}, Field{"content", &Token::content},
                                            Field{"frame_id", &Token::frame_id});
};

template <>
struct Spelling<Skipped> {
  static constexpr auto kParts = std::tuple(Type{"skipped"}, Field{"frame_id", &Skipped::frame_id});
};

template <>
struct Spelling<Error> {
  static constexpr auto kParts =
      std::tuple(Type{"error"}, Field{"code", &Error::code}, Field{"message", &Error::message},
                 Field{"frame_id", &Error::frame_id});
};

ClientMessage read_client_message(std::string_view text) {
  if (text.size() > kLongestText) {
    return Unreadable{fmt::format("a text message may have {} bytes", kLongestText)};
  }
  return read_one_of<Configure, Cancel>(text, WrongField::kIsRefused);
}

ServerMessage read_server_message(std::string_view text) {
  return read_one_of<Description, Token, Skipped, Error>(text, WrongField::kIsAbsent);
}

std::string write(const Configure& message) {
  return write_parts(message);
}

std::string write(const Cancel& message) {
  return write_parts(message);
}

std::string write(const Description& message) {
  return write_parts(message);
}

std::string write(const Token& message) {
  return write_parts(message);
}

std::string write(const Skipped& message) {
  return write_parts(message);
}

std::string write(const Error& message) {
  return write_parts(message);
}

std::string timestamp(std::chrono::system_clock::time_point time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  return fmt::format("{:%Y%m%d_%H%M%S}", local);
}

}  // namespace fvlm::protocol
