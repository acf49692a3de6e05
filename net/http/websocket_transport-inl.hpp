// The transport over websocketpp, for its plain and its TLS configuration: a template, because the
// two are unrelated types. C++17: websocketpp's headers are not C++20. Pitfalls of websocketpp, and
// how they are handled here:
//   the protocol hybi00 ignores the limit on messages   only version 13 is accepted
//   a stalled peer is kept for ever                     pings, and an idle timeout
//   the send queue has no bound                         bytes sent since the last ping that came
//                                                       back are counted, too many: closed
//   a handler that throws ends everything               caught; its connection is closed
//   bodies of unknown or wrong length arrive empty      refused
//   deferring an HTTP response stops its timer          HttpExchange has its own
//   out of descriptors, accepting spins                 fewer connections than descriptors
//   no handler tells the end of a plain HTTP request    a lease in each connection counts them
//   a fragmented text may end inside a character        texts are validated again
#pragma once

#include <algorithm>
#include <asio.hpp>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "net/http/http_exchange-inl.hpp"
#include "net/http/transport.hpp"
#include "net/http/websocket_connection-inl.hpp"

namespace fvlm::net {

template <class Base>
class WebSocketTransport final : public Transport {
 public:
  using Server = websocketpp::server<TransportConfig<Base>>;

  // `prepare` is called with the server before it listens.
  template <class Prepare>
  WebSocketTransport(const TransportOptions& options, TransportEvents& events,
                     const Prepare& prepare)
      : options_(options),
        events_(events),
        limits_(std::make_shared<ConnectionLimits>(
            connections_allowed(options.max_connections),
            share_of(connections_allowed(options.max_connections),
                     options.max_connections_per_address))) {
    prepare(server_);
    server_.init_asio(&context_);
    server_.set_reuse_addr(true);
    server_.set_user_agent("fastvlm");
    server_.set_max_message_size(options.max_message_bytes);
    server_.set_max_http_body_size(options.max_body_bytes);
    server_.set_open_handshake_timeout(options.request_timeout.count());
    server_.set_close_handshake_timeout(kLongestFarewell.count());
    server_.set_tcp_pre_init_handler([this](Handle handle) { admit(server_, handle, *limits_); });
    server_.set_validate_handler([this](Handle handle) { return validate(handle); });
    server_.set_http_handler([this](Handle handle) { answer_http(handle); });
    server_.set_open_handler([this](Handle handle) { open(handle); });
    server_.set_message_handler(
        [this](Handle handle, MessagePtr message) { receive(handle, std::move(message)); });
    server_.set_ping_handler(
        [this](Handle handle, const std::string& payload) { return may_pong(handle, payload); });
    server_.set_pong_handler(
        [this](Handle handle, const std::string& payload) { pong(handle, payload); });
    server_.set_close_handler([this](Handle handle) { end(handle); });
    std::error_code error;
    server_.listen(options.host, std::to_string(options.port), error);
    if (!error) server_.start_accept(error);
    if (error) {
      throw std::system_error(error, options.host + ":" + std::to_string(options.port));
    }
    port_ = server_.get_local_endpoint(error).port();
    schedule_pings();
    schedule_idle_checks();
  }

  // Connections are destroyed before the io_context that their sockets belong to.
  ~WebSocketTransport() override {
    exchanges_.clear();
    peers_.clear();
  }

  std::uint16_t port() const override { return port_; }
  std::uint64_t refused_connections() const override { return limits_->refused(); }
  void run() override { server_.run(); }
  void post(std::function<void()> work) override {
    asio::post(context_, [this, work = std::move(work)] { survives(work); });
  }
  void after(std::chrono::milliseconds time, std::function<void()> work) override {
    server_.set_timer(time.count(), [this, work = std::move(work)](const std::error_code& error) {
      if (!error) survives(work);
    });
  }

  void send(ConnectionId id, const std::string& text) override {
    const auto peer = peers_.find(id);
    if (peer == peers_.end()) return;
    const ConnectionPtr& to = peer->second;
    if (to->send(text, websocketpp::frame::opcode::text)) return;  // it is closing
    if (count_sent(to, text.size()) && unacknowledged(*to) > options_.max_unsent_bytes / 4 &&
        !to->pinged) {
      ping(to);
    }
  }

  void close(ConnectionId id, CloseReason reason, const std::string& text) override {
    const auto peer = peers_.find(id);
    if (peer != peers_.end()) close(peer->second, static_cast<std::uint16_t>(reason), text);
  }

  void respond(ExchangeId id, const HttpResponse& response, bool more) override {
    const auto exchange = exchanges_.find(id);
    if (exchange == exchanges_.end()) return;
    exchange->second->begin(response, more);
  }
  void add_to_response(ExchangeId id, const std::string& piece) override {
    const auto exchange = exchanges_.find(id);
    if (exchange != exchanges_.end()) exchange->second->add(piece);
  }
  void finish_response(ExchangeId id) override {
    const auto exchange = exchanges_.find(id);
    if (exchange != exchanges_.end()) exchange->second->finish();
  }

  void stop_listening() override {
    std::error_code ignored;  // it has stopped already
    if (server_.is_listening()) server_.stop_listening(ignored);
  }

  void stop() override {
    constexpr std::chrono::milliseconds kConsent{1000};
    stop_listening();
    std::vector<ConnectionId> ids;
    for (const auto& [id, peer] : peers_) ids.push_back(id);
    for (const ConnectionId id : ids) close(id, CloseReason::kGoingAway, "the server stops");
    wait_for_end(Clock::now() + kConsent);
  }

 private:
  using Clock = std::chrono::steady_clock;
  using Handle = websocketpp::connection_hdl;
  using Connection = typename Server::connection_type;
  using ConnectionPtr = typename Server::connection_ptr;
  using MessagePtr = typename Server::message_ptr;
  using Exchange = HttpExchange<Connection>;

  template <class Work>
  bool survives(const Work& work) {
    try {
      work();
      return true;
    } catch (const std::exception& error) {
      events_.on_error(error.what());
      return false;
    }
  }

  template <class Work>
  void close_if_it_throws(const ConnectionPtr& connection, const Work& work) {
    if (survives(work)) return;
    close(connection, websocketpp::close::status::internal_endpoint_error, "internal error");
  }

  // Polled until it may end: no callback tells when the last socket is closed.
  void wait_for_end(Clock::time_point deadline) {
    constexpr std::chrono::milliseconds kLook{20};
    if (peers_.empty() && exchanges_.empty()) {
      server_.stop();
      return;
    }
    if (Clock::now() >= deadline) {
      for (const auto& [id, peer] : peers_) cut(*peer);
      asio::post(context_, [this] { server_.stop(); });
      return;
    }
    after(kLook, [this, deadline] { wait_for_end(deadline); });
  }

  static void close(const ConnectionPtr& connection, std::uint16_t code, const std::string& text) {
    std::error_code ignored;  // it is closing already
    connection->close(code, text, ignored);
  }

  bool validate(Handle handle) {
    const ConnectionPtr connection = server_.get_con_from_hdl(handle);
    connection->place.keep();
    auto response = refuse_handshake(*connection);
    if (!response && !survives([&] { response = events_.on_upgrade(request_of(*connection)); })) {
      response = text_response(500, "internal error");
    }
    if (response->status == 101) return true;
    put(*response, *connection);
    return false;
  }

  void answer_http(Handle handle) {
    const ConnectionPtr connection = server_.get_con_from_hdl(handle);
    connection->place.keep();
    const std::string& length = connection->get_request_header("Content-Length");
    if (!connection->get_request_header("Transfer-Encoding").empty()) {
      put(text_response(411, "a Content-Length is needed"), *connection);
      return;
    }
    if (!length.empty() && !is_number(length)) {
      put(text_response(400, "Content-Length is not a number"), *connection);
      return;
    }
    const ExchangeId id = next_id_++;
    HttpRequest request = request_of(*connection);
    request.body = connection->get_request_body();
    std::optional<HttpResponse> response;
    if (!survives([&] { response = events_.on_http(id, std::move(request)); })) {
      response = text_response(500, "internal error");
    }
    if (response) {
      put(*response, *connection);
      return;
    }
    connection->defer_http_response();
    const auto exchange = std::make_shared<Exchange>(connection, options_, [this, id](bool whole) {
      exchanges_.erase(id);
      if (!whole) survives([&] { events_.on_http_gone(id); });
    });
    exchanges_.emplace(id, exchange);
    exchange->start();
  }

  void open(Handle handle) {
    const ConnectionPtr connection = server_.get_con_from_hdl(handle);
    connection->id = next_id_++;
    connection->heard = Clock::now();
    peers_.emplace(connection->id, connection);
    close_if_it_throws(connection,
                       [&] { events_.on_open(connection->id, request_of(*connection)); });
  }

  void receive(Handle handle, MessagePtr message) {
    const ConnectionPtr connection = server_.get_con_from_hdl(handle);
    connection->heard = Clock::now();
    const bool binary = message->get_opcode() == websocketpp::frame::opcode::binary;
    if (!binary && !websocketpp::utf8_validator::validate(message->get_payload())) {
      close(connection, websocketpp::close::status::invalid_payload, "a text is not UTF-8");
      return;
    }
    close_if_it_throws(connection, [&] {
      events_.on_message(connection->id, std::move(message->get_raw_payload()), binary);
    });
  }

  void end(Handle handle) {
    const ConnectionPtr connection = server_.get_con_from_hdl(handle);
    if (peers_.erase(connection->id) != 0) survives([&] { events_.on_close(connection->id); });
  }

  static std::uint64_t unacknowledged(const ConnectionState& peer) {
    return peer.sent - peer.acknowledged;
  }

  // Whether the connection goes on.
  bool count_sent(const ConnectionPtr& connection, std::size_t bytes) {
    constexpr std::size_t kOverhead = 128;  // of a message that waits, in memory
    connection->sent += bytes + kOverhead;
    if (unacknowledged(*connection) <= options_.max_unsent_bytes) return true;
    close(connection, static_cast<std::uint16_t>(CloseReason::kOverload),
          "messages are not read fast enough");
    return false;
  }

  // A ping carries how many bytes were sent before it.
  static void ping(const ConnectionPtr& connection) {
    std::error_code ignored;  // it is closing
    connection->ping(std::to_string(connection->sent), ignored);
    connection->pinged = true;
  }

  bool may_pong(Handle handle, const std::string& payload) {
    const ConnectionPtr connection = server_.get_con_from_hdl(handle);
    connection->heard = Clock::now();
    return count_sent(connection, payload.size());
  }

  void pong(Handle handle, const std::string& payload) {
    const ConnectionPtr connection = server_.get_con_from_hdl(handle);
    connection->heard = Clock::now();
    if (!is_number(payload) || payload.size() > 18) return;
    const std::uint64_t acknowledged = std::stoull(payload);
    if (acknowledged > connection->sent) return;
    connection->acknowledged = std::max(connection->acknowledged, acknowledged);
    connection->pinged = false;
  }

  void schedule_pings() {
    after(options_.ping_interval, [this] {
      for (const auto& [id, peer] : peers_) ping(peer);
      schedule_pings();
    });
  }

  void schedule_idle_checks() {
    constexpr int kChecks = 10;  // checks in one idle timeout
    after(options_.idle_timeout / kChecks, [this] {
      const auto heard_since = Clock::now() - options_.idle_timeout;
      std::vector<ConnectionPtr> idle;
      for (const auto& [id, peer] : peers_) {
        if (peer->heard < heard_since) idle.push_back(peer);
      }
      // Without a closing handshake, which an unresponsive peer would not answer.
      for (const ConnectionPtr& connection : idle) cut(*connection);
      schedule_idle_checks();
    });
  }

  TransportOptions options_;
  TransportEvents& events_;
  std::uint16_t port_ = 0;
  std::shared_ptr<ConnectionLimits> limits_;
  std::uint64_t next_id_ = 1;
  std::map<ConnectionId, ConnectionPtr> peers_;
  std::map<ExchangeId, std::shared_ptr<Exchange>> exchanges_;
  asio::io_context context_;
  Server server_;
};

}  // namespace fvlm::net
