// The JSON texts on the two WebSockets: what the server answers, what the page is told and asks
// for. Field names are the system's; see the README.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace fvlm::capture {

// From the server. What cannot be read has the kind kUnknown.
struct Answer {
  enum class Kind { kDescription, kToken, kSkipped, kError, kUnknown } kind = Kind::kUnknown;
  std::string content{};                   // the description, the token, or the error's message
  std::optional<std::int64_t> frame_id{};  // absent in the original protocol
  double ttft_ms = 0;                      // 0 there
};
Answer read_answer(const std::string& text);

// To the server, in our mode.
std::string write_configure(const std::string& prompt, int max_new_tokens);

// To a page of the original system.
std::string write_frame(const std::string& jpeg);

// To ours.
struct PageState {
  bool camera_live = false;
  std::string camera{};
  std::string server = "connecting";  // connecting, ready or lost
  std::string server_text{};
  bool stream = false;  // prompts can be changed
  std::string prompt{};
  double interval = 1;  // seconds
  int width = 0;        // of the picture, 0 if there is none yet
  int height = 0;
};
std::string write_state(const PageState& state);
// The last descriptions as they came, oldest first.
std::string write_history(const std::vector<std::string>& descriptions);

// From a page: {"type": "configure", "binary": true, "prompt": "...", "interval": 0.5}, what is
// absent stays as it was.
struct PageWish {
  bool binary = false;
  std::optional<std::string> prompt{};
  std::optional<double> interval{};
};
// Nothing if it is none.
std::optional<PageWish> read_wish(const std::string& text);

std::string base64(const std::string& bytes);

}  // namespace fvlm::capture
