// Compiled as C++17: websocketpp's headers are not C++20. What it gets wrong, and what is done
// about it here:
//   the protocol hybi00 ignores the limit on messages   only version 13 is spoken
//   a peer that stalls is kept for ever                 pings; no answer for long: closed
//   the queue of unsent bytes has no bound              bytes sent since the last ping that came
//                                                       back are counted, too many: closed
//   a handler that throws ends everything               none does
//   bodies of unknown or wrong length arrive empty      refused
//   out of descriptors, accepting spins                 fewer connections than descriptors
#include "net/transport.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <asio.hpp>
#include <cctype>
#include <map>
#include <string>
#include <system_error>
#include <websocketpp/config/asio_no_tls.hpp>
#include <websocketpp/server.hpp>

namespace fvlm::net {
namespace {

using Clock = std::chrono::steady_clock;

struct Config : websocketpp::config::asio {
  // What it would print is told to TransportEvents, or is nobody's business.
  static const websocketpp::log::level alog_level = websocketpp::log::alevel::none;
  static const websocketpp::log::level elog_level = websocketpp::log::elevel::none;
};
using Server = websocketpp::server<Config>;
using Handle = websocketpp::connection_hdl;
using ConnectionPtr = Server::connection_ptr;

// Descriptors that files, the listening socket and the rest of the program need.
constexpr std::size_t kOtherDescriptors = 64;

std::size_t connections_allowed(std::size_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return wanted;
  const auto descriptors = static_cast<std::size_t>(limit.rlim_cur);
  return std::min(wanted, descriptors > 2 * kOtherDescriptors ? descriptors - kOtherDescriptors
                                                              : descriptors / 2);
}

bool is_number(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](unsigned char c) { return std::isdigit(c) != 0; });
}

class WebSocketTransport final : public Transport {
 public:
  WebSocketTransport(const TransportOptions& options, TransportEvents& events)
      : options_(options),
        events_(events),
        max_connections_(connections_allowed(options.max_connections)) {
    server_.init_asio();
    server_.set_reuse_addr(true);
    server_.set_max_message_size(options.max_message_bytes);
    server_.set_max_http_body_size(options.max_body_bytes);
    server_.set_tcp_pre_init_handler([this](Handle handle) { accept(handle); });
    server_.set_validate_handler([this](Handle handle) { return validate(handle); });
    server_.set_http_handler([this](Handle handle) { answer_http(handle); });
    server_.set_open_handler([this](Handle handle) { open(handle); });
    server_.set_message_handler([this](Handle handle, Server::message_ptr message) {
      receive(handle, std::move(message));
    });
    server_.set_pong_handler(
        [this](Handle handle, const std::string& payload) { pong(handle, payload); });
    server_.set_close_handler([this](Handle handle) { end(handle); });
    server_.set_fail_handler([this](Handle handle) { end(handle); });
    std::error_code error;
    server_.listen(options.host, std::to_string(options.port), error);
    if (!error) server_.start_accept(error);
    if (error) {
      throw std::system_error(error, options.host + ":" + std::to_string(options.port));
    }
    schedule_pings();
  }

  std::uint16_t port() const override {
    std::error_code error;
    // Not const in websocketpp, though it changes nothing.
    return const_cast<Server&>(server_).get_local_endpoint(error).port();
  }
  void run() override { server_.run(); }
  void post(std::function<void()> work) override {
    asio::post(server_.get_io_service(), std::move(work));
  }
  void after(std::chrono::milliseconds time, std::function<void()> work) override {
    server_.set_timer(time.count(), [work = std::move(work)](const std::error_code& error) {
      if (!error) work();
    });
  }

  void send(ConnectionId id, const std::string& text) override {
    const auto peer = peers_.find(id);
    if (peer == peers_.end()) return;
    Peer& to = peer->second;
    if (to.connection->send(text, websocketpp::frame::opcode::text)) return;  // it is closing
    to.sent += text.size();
    const std::uint64_t unacknowledged = to.sent - to.acknowledged;
    if (unacknowledged > options_.max_unsent_bytes) {
      close(id, CloseReason::kOverload, "messages are not read fast enough");
    } else if (unacknowledged > options_.max_unsent_bytes / 4 && !to.pinged) {
      ping(to);
    }
  }

  void close(ConnectionId id, CloseReason reason, const std::string& text) override {
    const auto peer = peers_.find(id);
    if (peer == peers_.end()) return;
    std::error_code ignored;  // it is closing already
    peer->second.connection->close(static_cast<websocketpp::close::status::value>(reason), text,
                                   ignored);
  }

  void stop_listening() override {
    std::error_code ignored;  // it has stopped already
    if (server_.is_listening()) server_.stop_listening(ignored);
  }

  void stop() override {
    constexpr std::chrono::milliseconds kConsent{1000};
    constexpr std::chrono::milliseconds kLook{20};
    stop_listening();
    std::vector<ConnectionId> ids;
    for (const auto& [id, peer] : peers_) ids.push_back(id);
    for (const ConnectionId id : ids) close(id, CloseReason::kGoingAway, "the server stops");
    wait_for_end(Clock::now() + kConsent, kLook);
  }

 private:
  struct Peer {
    ConnectionPtr connection;
    Clock::time_point heard;         // when it last said something
    std::uint64_t sent = 0;          // bytes of messages so far
    std::uint64_t acknowledged = 0;  // of these, sent before the last ping that came back
    bool pinged = false;             // a ping is on its way
  };

  void wait_for_end(Clock::time_point deadline, std::chrono::milliseconds look) {
    if (open_sockets_ == 0) {
      server_.stop();
      return;
    }
    if (Clock::now() >= deadline) {
      for (const auto& [id, peer] : peers_) cut(peer.connection);
      asio::post(server_.get_io_service(), [this] { server_.stop(); });
      return;
    }
    after(look, [this, deadline, look] { wait_for_end(deadline, look); });
  }

  void accept(Handle handle) {
    ++open_sockets_;
    if (open_sockets_ <= max_connections_) return;
    cut(server_.get_con_from_hdl(handle));
  }

  static void cut(const ConnectionPtr& connection) {
    std::error_code ignored;  // it is closed
    connection->get_raw_socket().close(ignored);
  }

  static HttpRequest request_of(const ConnectionPtr& connection) {
    const auto& request = connection->get_request();
    const std::string& target = request.get_uri();
    return {request.get_method(),
            target.substr(0, target.find('?')),
            request.get_header("Host"),
            request.get_header("Origin"),
            request.get_header("Authorization"),
            connection->get_remote_endpoint(),
            request.get_body()};
  }

  static void put(const HttpResponse& response, const ConnectionPtr& connection) {
    connection->set_status(static_cast<websocketpp::http::status_code::value>(response.status));
    connection->append_header("Content-Type", response.content_type);
    for (const auto& [name, value] : response.headers) connection->append_header(name, value);
    connection->set_body(response.body);
  }

  bool validate(Handle handle) {
    const ConnectionPtr connection = server_.get_con_from_hdl(handle);
    HttpResponse response{426,
                          "text/plain; charset=utf-8",
                          "WebSocket version 13 is wanted\n",
                          {{"Sec-WebSocket-Version", "13"}}};
    if (connection->get_request_header("Sec-WebSocket-Version") == "13") {
      response = events_.on_upgrade(request_of(connection));
    }
    if (response.status == 101) return true;
    put(response, connection);
    return false;
  }

  void answer_http(Handle handle) {
    const ConnectionPtr connection = server_.get_con_from_hdl(handle);
    const std::string& length = connection->get_request_header("Content-Length");
    if (!connection->get_request_header("Transfer-Encoding").empty()) {
      put({411, "text/plain; charset=utf-8", "a Content-Length is needed\n", {}}, connection);
    } else if (!length.empty() && !is_number(length)) {
      put({400, "text/plain; charset=utf-8", "Content-Length is not a number\n", {}}, connection);
    } else {
      put(events_.on_http(request_of(connection)), connection);
    }
  }

  void open(Handle handle) {
    const ConnectionPtr connection = server_.get_con_from_hdl(handle);
    const ConnectionId id = next_id_++;
    peers_.emplace(id, Peer{connection, Clock::now()});
    ids_.emplace(handle, id);
    events_.on_open(id, request_of(connection));
  }

  void receive(Handle handle, Server::message_ptr message) {
    const auto known = ids_.find(handle);
    if (known == ids_.end()) return;
    peers_.at(known->second).heard = Clock::now();
    events_.on_message(known->second, std::move(message->get_raw_payload()),
                       message->get_opcode() == websocketpp::frame::opcode::binary);
  }

  // Also the end of a plain HTTP exchange, and of one that never became anything.
  void end(Handle handle) {
    --open_sockets_;
    const auto known = ids_.find(handle);
    if (known == ids_.end()) return;
    const ConnectionId id = known->second;
    ids_.erase(known);
    peers_.erase(id);
    events_.on_close(id);
  }

  // A ping carries how much was sent before it.
  void ping(Peer& peer) {
    std::error_code ignored;  // it is closing
    peer.connection->ping(std::to_string(peer.sent), ignored);
    peer.pinged = true;
  }

  void pong(Handle handle, const std::string& payload) {
    const auto known = ids_.find(handle);
    if (known == ids_.end()) return;
    Peer& peer = peers_.at(known->second);
    peer.heard = Clock::now();
    if (!is_number(payload) || payload.size() > 18) return;
    const std::uint64_t acknowledged = std::stoull(payload);
    if (acknowledged > peer.sent) return;
    peer.acknowledged = std::max(peer.acknowledged, acknowledged);
    peer.pinged = false;
  }

  void schedule_pings() {
    after(options_.ping_interval, [this] {
      std::vector<ConnectionPtr> silent;
      for (auto& [id, peer] : peers_) {
        if (Clock::now() - peer.heard > options_.longest_silence) {
          silent.push_back(peer.connection);
        } else {
          ping(peer);
        }
      }
      // Without a closing handshake, which a peer that says nothing would not answer.
      for (const ConnectionPtr& connection : silent) cut(connection);
      if (server_.is_listening() || !peers_.empty()) schedule_pings();
    });
  }

  TransportOptions options_;
  TransportEvents& events_;
  std::size_t max_connections_;
  std::size_t open_sockets_ = 0;
  ConnectionId next_id_ = 1;
  std::map<ConnectionId, Peer> peers_;
  std::map<Handle, ConnectionId, std::owner_less<Handle>> ids_;
  Server server_;
};

}  // namespace

std::unique_ptr<Transport> Transport::listen(const TransportOptions& options,
                                             TransportEvents& events) {
  return std::make_unique<WebSocketTransport>(options, events);
}

}  // namespace fvlm::net
