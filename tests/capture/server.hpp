// A server as the original system's: a JPEG in one binary message, one JSON text back; written
// without the library that the client uses, so that each checks the other. It records what it gets
// and can be killed and started again on its port.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace fvlm::capture {

class CameraServer {
 public:
  // The texts that answer a message.
  using Respond = std::function<std::vector<std::string>(bool binary, const std::string& payload)>;

  // On a free port if `port` is 0. `keeps`: pictures and texts, for pictures() and texts().
  explicit CameraServer(Respond respond, std::uint16_t port = 0, bool keeps = true);
  // Cuts all connections, without a farewell.
  ~CameraServer();
  CameraServer(const CameraServer&) = delete;
  CameraServer& operator=(const CameraServer&) = delete;

  std::uint16_t port() const { return port_; }
  std::string url() const { return "ws://127.0.0.1:" + std::to_string(port_) + "/ws"; }
  std::vector<std::string> pictures() const;
  std::vector<std::string> texts() const;
  // Heads of the requests that opened connections.
  std::vector<std::string> requests() const;
  // What was against RFC 6455; empty if nothing.
  std::string violation() const;

 private:
  void accept();
  void serve(int socket);
  bool shake_hands(int socket);

  Respond respond_;
  bool keeps_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  mutable std::mutex mutex_{};
  std::vector<std::string> pictures_{};
  std::vector<std::string> texts_{};
  std::vector<std::string> requests_{};
  std::string violation_{};
  std::vector<int> sockets_{};
  std::vector<std::thread> connections_{};
  std::thread accepting_{};
};

// What the original answers: {"type": "description", "content": CONTENT, "timestamp": "..."}.
std::string original_description(const std::string& content);

}  // namespace fvlm::capture
