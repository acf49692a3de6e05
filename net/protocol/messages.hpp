// The messages between a server and its clients, cameras and pages, as structs and as JSON texts. A
// frame itself is a binary message with the picture, and none of these.
//
// A client that sends no text message gets the original system's behaviour: for each frame one
// "description" with content and timestamp. "configure" opens the rest. Fields that a reader does
// not know are passed over, so that newer sides may say more.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace fvlm::protocol {

// What is wrong with a text that is no message.
struct Unreadable {
  std::string why;
};

// From a client ----------------------------------------------------------------------------------

// {"type": "configure", ...}: what is absent stays as it was.
struct Configure {
  std::optional<std::int64_t> max_new_tokens{};
  std::optional<std::string> prompt{};
  std::optional<std::string> request_id{};  // any JSON value, as text; comes back in the answers
  std::optional<bool> stream{};             // send "token" messages before the description
  std::optional<double> temperature{};
  std::optional<double> unchanged_below{};  // LiveView::unchanged_below

  bool operator==(const Configure&) const = default;
};
// {"type": "cancel"}: ends the answer that is being made and drops the frame that waits.
struct Cancel {
  bool operator==(const Cancel&) const = default;
};
using ClientMessage = std::variant<Configure, Cancel, Unreadable>;

inline constexpr std::size_t kLongestText = 64 << 10;  // bytes of a client's text message

// A field of a wrong type makes a client's message unreadable.
ClientMessage read_client_message(std::string_view text);

std::string write(const Configure& message);
std::string write(const Cancel& message);

// From a server ----------------------------------------------------------------------------------

// {"type": "description", "content": "...", "timestamp": "..."}, and for clients that sent
// "configure" the rest.
struct Description {
  std::string content{};
  std::string timestamp{};  // timestamp()
  std::optional<std::int64_t> frame_id{};
  std::optional<double> ttft_ms{};   // from the frame's arrival to its first token
  std::optional<double> total_ms{};  // from its arrival to its last
  std::optional<std::int64_t> tokens{};
  bool unchanged = false;               // the last answer again: the frame looks as that one's did
  std::optional<std::string> prompt{};  // the server's own, if the client gave none
  std::optional<std::string> request_id{};  // a JSON value, as text

  bool operator==(const Description&) const = default;
};
// {"type": "token", ...}: the next part of the description that is being made.
struct Token {
  std::string content{};
  std::optional<std::int64_t> frame_id{};

  bool operator==(const Token&) const = default;
};
// {"type": "skipped", ...}: a newer frame took this one's place.
struct Skipped {
  std::optional<std::int64_t> frame_id{};

  bool operator==(const Skipped&) const = default;
};
// {"type": "error", ...}
struct Error {
  std::string code{};                      // one of a few words for programs, e.g. "bad_image"
  std::string message{};                   // for people
  std::optional<std::int64_t> frame_id{};  // absent if it is about no frame

  bool operator==(const Error&) const = default;
};
using ServerMessage = std::variant<Description, Token, Skipped, Error, Unreadable>;

// A field of a wrong type counts as absent.
ServerMessage read_server_message(std::string_view text);

std::string write(const Description& message);
std::string write(const Token& message);
std::string write(const Skipped& message);
std::string write(const Error& message);

// "20261123_081700": local time, as the original writes it.
std::string timestamp(std::chrono::system_clock::time_point time);

}  // namespace fvlm::protocol
