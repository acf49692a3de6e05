// The messages between a camera and those who look at its web page, as structs and as JSON texts.
// The server's (messages.hpp) are passed on to them as they came.
//
// A viewer that sends no text message gets what the original system's page does: "frame" messages,
// and descriptions. Who sends "configure" with "binary" gets pictures as binary messages, and
// "state", "history" and the server's other messages besides.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "net/protocol/messages.hpp"

namespace fvlm::protocol {

// From a viewer: {"type": "configure", "binary": true, "prompt": "...", "interval": 0.5}, what is
// absent stays as it was.
struct ViewerConfigure {
  bool binary = false;
  std::optional<std::string> prompt{};
  std::optional<double> interval{};  // seconds

  bool operator==(const ViewerConfigure&) const = default;
};
using ViewerMessage = std::variant<ViewerConfigure, Unreadable>;

// A field of a wrong type counts as absent, here and below.
ViewerMessage read_viewer_message(std::string_view text);

std::string write(const ViewerConfigure& message);

// From the camera: {"type": "frame", "data": BASE64_JPEG}
struct Frame {
  std::string jpeg{};

  bool operator==(const Frame&) const = default;
};
// {"type": "state", ...}: all that the page shows beside the picture.
struct State {
  std::string camera{};        // the source if it is live, else what is wrong
  std::string camera_cause{};  // of a few words for programs: capture/source/trouble.hpp
  bool camera_live = false;
  int height = 0;       // of the picture, 0 if there is none yet
  double interval = 1;  // seconds
  std::string prompt{};
  std::string server = "connecting";  // connecting, ready or lost
  std::string server_cause{};         // why it is lost, as camera_cause
  std::string server_place{};         // "HOST:PORT"
  std::string server_text{};          // why it is lost
  std::string source{};               // what may be shown of --source
  bool stream = false;                // prompts can be changed
  int width = 0;                      // of the picture, 0 if there is none yet

  bool operator==(const State&) const = default;
};
// {"type": "history", "descriptions": [...]}
struct History {
  std::vector<std::string> descriptions{};  // the last ones as they came, oldest first

  bool operator==(const History&) const = default;
};
using CameraMessage = std::variant<Frame, State, History, Unreadable>;

CameraMessage read_camera_message(std::string_view text);

std::string write(const Frame& message);
std::string write(const State& message);
std::string write(const History& message);

}  // namespace fvlm::protocol
