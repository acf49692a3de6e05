// The messages between a camera or a page and the server, as JSON texts. A frame itself is a binary
// message with the picture, and none of these.
//
// A client that sends no text message gets the original system's behaviour: for each frame one
// "description" with content and timestamp. "configure" opens the rest.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace fvlm::net {

// {"type": "configure", ...}: what is absent stays as it was.
struct Configure {
  std::optional<std::string> prompt{};
  std::optional<std::int64_t> max_new_tokens{};
  std::optional<double> temperature{};
  std::optional<bool> stream{};             // send "token" messages before the description
  std::optional<double> unchanged_below{};  // LiveView::unchanged_below
  std::optional<std::string> request_id{};  // any JSON value, as text; comes back in the answers
};
// {"type": "cancel"}: ends the answer that is being made and drops the frame that waits.
struct Cancel {};
// What is wrong with a message.
struct Unreadable {
  std::string why;
};
using ClientMessage = std::variant<Configure, Cancel, Unreadable>;

inline constexpr std::size_t kLongestText = 64 << 10;  // bytes of a client's text message

ClientMessage read_client_message(std::string_view text);

// "20261123_081700": local time, as the original writes it.
std::string timestamp(std::chrono::system_clock::time_point time);

struct Description {
  std::string content{};
  std::chrono::system_clock::time_point time{};

  // For clients that sent "configure".
  struct Details {
    std::int64_t frame_id = 0;
    double ttft_ms = 0;   // from the frame's arrival to its first token
    double total_ms = 0;  // from its arrival to its last
    std::int64_t tokens = 0;
    bool unchanged = false;    // the last answer again: the frame looks as that one's did
    std::string request_id{};  // a JSON value, or empty
  };
  std::optional<Details> details{};
};

std::string write_description(const Description& description);
std::string write_token(std::string_view content, std::int64_t frame_id);
// A newer frame took this one's place.
std::string write_skipped(std::int64_t frame_id);
// `code` is one of a few words for programs, e.g. "bad_image"; `message` is for people.
std::string write_error(std::string_view code, std::string_view message,
                        std::optional<std::int64_t> frame_id);

}  // namespace fvlm::net
