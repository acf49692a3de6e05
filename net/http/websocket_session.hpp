// A WebSocket on one connection, of either side. What the other side has not received is bounded: a
// ping says how many bytes were sent before it, and its pong acknowledges them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "net/http/receive_budget.hpp"
#include "net/http/stream.hpp"
#include "net/http/websocket.hpp"

namespace fvlm::net {

class WebSocketSession final : public Stream::Session {
 public:
  struct Options {
    Side side = Side::kServer;
    std::size_t max_message_bytes = 0;
    std::size_t max_unsent_bytes = 0;
    std::chrono::milliseconds idle_timeout{25'000};  // without a whole message or a pong
    std::optional<ReceiveBudget::Share> received{};  // of the message that is coming
  };
  class Events {
   public:
    virtual ~Events() = default;
    virtual void on_message(std::string payload, bool binary) = 0;
    // For a ping() with this payload.
    virtual void on_pong(const std::string& payload) = 0;
    // Once. What the other side said, or what is wrong.
    virtual void on_closed(const std::string& why) = 0;
  };

  WebSocketSession(Stream& stream, Options options, std::unique_ptr<Events> events);

  void send(Opcode opcode, const SharedBytes& payload);
  // A message in pieces, copied once.
  void send(Opcode opcode, std::span<const std::string_view> pieces);
  void ping(const std::string& payload) { send_ping(kOfUser, payload); }
  // Asks for an acknowledgement of all that was sent.
  void probe();
  // Begins the closing handshake.
  void close(const Closing& closing);
  void cut() { stream_.cut(); }

  void on_bytes(std::string& unread) override;
  void on_farewell() override { stream_.cut(); }
  void on_flushed() override {}
  void on_deadline() override { stream_.cut(); }
  void on_end(const std::string& why) override;

 private:
  // A ping's first byte.
  static constexpr char kOfUser = 'u';
  static constexpr char kProbe = 'p';

  void send_frame(Opcode opcode, const SharedBytes& payload);
  std::string assemble(Opcode opcode, std::span<const std::string_view> pieces);
  void count_message(std::size_t bytes);
  void send_ping(char kind, const std::string& payload);
  // Whether the connection goes on.
  bool count_sent(std::size_t bytes);
  std::uint64_t unacknowledged() const { return sent_ - acknowledged_; }
  // Whether the message that is coming may be so long.
  bool may_receive();
  void take(FrameReader::Message message);
  void take_pong(const std::string& payload);
  void take_close(const std::string& payload);
  // Says why and leaves, without waiting for the other side.
  void leave(const Closing& closing);
  void tell_closed();

  Stream& stream_;
  Options options_;
  std::unique_ptr<Events> events_;
  FrameReader reader_;
  std::uint64_t sent_ = 0;          // bytes of messages and pongs
  std::uint64_t acknowledged_ = 0;  // of these
  bool probing_ = false;            // a probe is not answered yet
  bool closing_ = false;            // our close frame is sent
  bool left_ = false;
  bool told_ = false;
  std::string why_{};  // it was closed
};

}  // namespace fvlm::net
