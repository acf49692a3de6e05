#include "net/protocol/viewer_messages.hpp"

#include <tuple>
#include <utility>

#include "net/protocol/base64.hpp"
#include "net/protocol/spelling-inl.hpp"

namespace fvlm::protocol {
namespace {

// Bytes, as Base64.
template <class Message>
struct Bytes {
  const char* key;
  std::string Message::*member;

  void write(const Message& message, Json& json) const {
    json[key] = net::encode_base64(message.*member);
  }
  std::string read(const Json& json, Message& message) const {
    const auto value = json.find(key);
    if (value == json.end() || !value->is_string()) return {};
    auto bytes = net::decode_base64(value->template get_ref<const std::string&>());
    if (bytes) message.*member = *std::move(bytes);
    return {};
  }
};
template <class Message>
Bytes(const char*, std::string Message::*) -> Bytes<Message>;

// Objects, which a message holds as texts. Each is written with its keys in the alphabet's order.
template <class Message>
struct Objects {
  const char* key;
  std::vector<std::string> Message::*member;

  void write(const Message& message, Json& json) const {
    Json& objects = json[key] = Json::array();
    for (const std::string& text : message.*member) {
      const auto object = nlohmann::json::parse(text, nullptr, false);
      if (object.is_object()) objects.emplace_back(object);
    }
  }
  std::string read(const Json& json, Message& message) const {
    const auto objects = json.find(key);
    if (objects == json.end() || !objects->is_array()) return {};
    for (const Json& object : *objects) (message.*member).push_back(net::dump(object));
    return {};
  }
};
template <class Message>
Objects(const char*, std::vector<std::string> Message::*) -> Objects<Message>;

}  // namespace

template <>
struct Spelling<ViewerConfigure> {
  static constexpr auto kParts = std::tuple(
      Type{"configure"}, Flag{"binary", &ViewerConfigure::binary},
      Field{"prompt", &ViewerConfigure::prompt}, Field{"interval", &ViewerConfigure::interval});
};

template <>
struct Spelling<Frame> {
  static constexpr auto kParts = std::tuple(Type{"frame"}, Bytes{"data", &Frame::jpeg});
};

template <>
struct Spelling<State> {
  static constexpr auto kParts =
      std::tuple(Field{"camera", &State::camera}, Field{"camera_cause", &State::camera_cause},
                 Field{"camera_live", &State::camera_live}, Field{"height", &State::height},
                 Field{"interval", &State::interval}, Field{"prompt", &State::prompt},
                 Field{"server", &State::server}, Field{"server_cause", &State::server_cause},
                 Field{"server_place", &State::server_place},
                 Field{"server_text", &State::server_text}, Field{"source", &State::source},
                 Field{"stream", &State::stream}, Type{"state"}, Field{"width", &State::width});
};

template <>
struct Spelling<History> {
  static constexpr auto kParts =
      std::tuple(Objects{"descriptions", &History::descriptions}, Type{"history"});
};

ViewerMessage read_viewer_message(std::string_view text) {
  return read_one_of<ViewerConfigure>(text, WrongField::kIsAbsent);
}

CameraMessage read_camera_message(std::string_view text) {
  return read_one_of<Frame, State, History>(text, WrongField::kIsAbsent);
}

std::string write(const ViewerConfigure& message) {
  return write_parts(message);
}

// The picture is put into a frame without one, between the last quotes: there is nothing to escape
// in Base64, and to look for it would take four times as long.
std::string write(const Frame& message) {
  std::string text = write_parts(Frame{});
  return text.insert(text.size() - 2, net::encode_base64(message.jpeg));
}

std::string write(const State& message) {
  return write_parts(message);
}

std::string write(const History& message) {
  return write_parts(message);
}

}  // namespace fvlm::protocol
