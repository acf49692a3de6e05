#include "net/http/transport.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "net/http/address.hpp"
#include "net/http/http_session.hpp"
#include "net/http/stream.hpp"
#include "net/http/transport_core.hpp"
#include "net/http/websocket_session.hpp"

namespace fvlm::net {
namespace {

using asio::ip::tcp;
using Clock = std::chrono::steady_clock;

// File descriptors reserved for files, the listening socket and the rest of the program.
constexpr std::size_t kOtherDescriptors = 64;
constexpr std::chrono::milliseconds kAcceptPause{100};  // after a failure: out of descriptors, say

std::size_t connections_allowed(std::size_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return wanted;
  const auto descriptors = static_cast<std::size_t>(limit.rlim_cur);
  return std::min(wanted, descriptors > 2 * kOtherDescriptors ? descriptors - kOtherDescriptors
                                                              : descriptors / 2);
}

std::string text_of(const tcp::endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  return (endpoint.address().is_v6() ? "[" + address + "]" : address) + ":" +
         std::to_string(endpoint.port());
}

// A WebSocket of this transport: what it says goes to the transport's events.
class ServedWebSocket final : public WebSocketSession::Events {
 public:
  ServedWebSocket(TransportCore& core, ConnectionId id, ConnectionLimits::Place place)
      : core_(core), id_(id), place_(std::move(place)) {}

  void on_message(std::string payload, bool binary) override {
    close_if_it_throws([&] { core_.events->on_message(id_, std::move(payload), binary); });
  }
  void on_pong(const std::string& payload) override {
    close_if_it_throws([&] { core_.events->on_pong(id_, payload); });
  }
  void on_closed(const std::string&) override {
    core_.peers.erase(id_);
    core_.survives([&] { core_.events->on_close(id_); });
  }
  template <class Work>
  void close_if_it_throws(const Work& work) {
    if (core_.survives(work)) return;
    core_.peers.at(id_)->close({close_code::kInternalError, "internal error"});
  }

 private:
  TransportCore& core_;
  ConnectionId id_;
  ConnectionLimits::Place place_;
};

class AsioTransport final : public Transport {
 public:
  // On `loop`, or on one of its own.
  AsioTransport(EventLoop* loop, const TransportOptions& options)
      : own_loop_(loop == nullptr ? std::make_unique<EventLoop>() : nullptr),
        loop_(loop == nullptr ? *own_loop_ : *loop),
        core_{.options = options},
        limits_(std::make_shared<ConnectionLimits>(connections_allowed(options.max_connections),
                                                   share_of_address(options))),
        acceptor_(loop_.context()) {
    tls_ = tls_of(options);
    bind();
  }

  void open(TransportEvents& events) override {
    core_.events = &events;
    error_code error;
    acceptor_.listen(tcp::acceptor::max_listen_connections, error);
    if (error) throw std::runtime_error(cannot_listen(error));
    accept();
    probe_peers();
  }
  void set(const TransportOptions& options) override {
    if (options.certificate_file.empty() != (tls_ == nullptr)) {
      throw std::runtime_error("TLS is turned on or off by a restart alone");
    }
    tls_ = tls_of(options);
    const TransportOptions before = std::exchange(core_.options, options);
    core_.options.host = before.host;
    core_.options.port = before.port;
    core_.options.base_path = before.base_path;
    core_.proxies = TrustedProxies(options.trusted_proxies);
    core_.received.set_limits(options.max_received_bytes, received_of_address(options));
    limits_->set_limits(connections_allowed(options.max_connections), share_of_address(options));
  }

  std::uint16_t port() const override { return port_; }
  std::uint64_t refused_connections() const override { return limits_->refused(); }
  void run() override { loop_.run(); }
  void post(std::function<void()> work) override {
    loop_.post([this, work = std::move(work)] { core_.survives(work); });
  }
  void after(std::chrono::milliseconds time, std::function<void()> work) override {
    loop_.after(time, [this, work = std::move(work)] { core_.survives(work); });
  }

  void send(ConnectionId id, SharedBytes payload, bool binary) override {
    if (auto* peer = find(core_.peers, id)) {
      peer->send(binary ? Opcode::kBinary : Opcode::kText, payload);
    }
  }
  void ping(ConnectionId id, const std::string& payload) override {
    if (auto* peer = find(core_.peers, id)) peer->ping(payload);
  }
  void close(ConnectionId id, CloseReason reason, const std::string& text) override {
    if (auto* peer = find(core_.peers, id)) peer->close({static_cast<std::uint16_t>(reason), text});
  }
  void respond(ExchangeId id, HttpResponse response) override {
    if (auto* session = find(core_.exchanges, id)) session->respond(std::move(response));
  }
  void begin_response(ExchangeId id, HttpResponse response, StreamedBody body) override {
    if (auto* session = find(core_.exchanges, id)) session->begin_response(response, body);
  }
  void add_to_response(ExchangeId id, SharedBytes piece) override {
    if (auto* session = find(core_.exchanges, id)) session->add_to_response(std::move(piece));
  }
  void finish_response(ExchangeId id) override {
    if (auto* session = find(core_.exchanges, id)) session->finish_response();
  }
  void abandon_response(ExchangeId id) override {
    if (auto* session = find(core_.exchanges, id)) session->abandon_response();
  }

  void drain() override { core_.draining = true; }
  void stop_listening() override {
    error_code ignored;  // it has stopped already
    acceptor_.close(ignored);
  }
  void stop() override {
    constexpr std::chrono::milliseconds kConsent{1000};
    core_.draining = true;
    stop_listening();
    for (const auto& [id, peer] : core_.peers) {
      peer->close({static_cast<std::uint16_t>(CloseReason::kGoingAway), "the server stops"});
    }
    wait_for_end(Clock::now() + kConsent);
  }

 private:
  template <class Session>
  static Session* find(const std::map<std::uint64_t, Session*>& sessions, std::uint64_t id) {
    const auto session = sessions.find(id);
    return session == sessions.end() ? nullptr : session->second;
  }

  static TlsContext tls_of(const TransportOptions& options) {
    return options.certificate_file.empty()
               ? nullptr
               : server_tls(options.certificate_file, options.key_file);
  }
  static std::size_t share_of_address(const TransportOptions& options) {
    return share_of(connections_allowed(options.max_connections),
                    options.max_connections_per_address);
  }
  // With what helps, which is said in terms of the flags --host and --port.
  std::string cannot_listen(const error_code& error) const {
    const std::string& host = core_.options.host;
    if (error.category() != boost::system::system_category()) {  // of the resolver
      return "--host " + host +
             ": no address has this name; give one of this machine's addresses, or 0.0.0.0 for all";
    }
    std::string why = "cannot listen on " + host_and_port(host, core_.options.port) + ": ";
    if (error == boost::system::errc::address_in_use) {
      return why + "another program listens there; --port chooses another port";
    }
    if (error == boost::system::errc::address_not_available) {
      return why + "this machine has no such address; --host 0.0.0.0 stands for all it has";
    }
    if (error == boost::system::errc::permission_denied) {
      return why + "ports below 1024 need the right CAP_NET_BIND_SERVICE; --port chooses another";
    }
    return why + error.message();
  }

  // A socket that listens already, of another server, makes it fail.
  void bind() {
    const std::string port = std::to_string(core_.options.port);
    error_code error;
    tcp::resolver resolver(loop_.context());
    std::string host = core_.options.host;
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    const auto found = resolver.resolve(host, port, tcp::resolver::passive, error);
    if (!error) {
      const tcp::endpoint endpoint = *found.begin();
      acceptor_.open(endpoint.protocol(), error);
      if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
      if (!error) acceptor_.bind(endpoint, error);
    }
    if (error) throw std::runtime_error(cannot_listen(error));
    port_ = acceptor_.local_endpoint().port();
  }

  void accept() {
    acceptor_.async_accept([this](const error_code& error, tcp::socket socket) {
      if (!acceptor_.is_open()) return;
      if (error) return loop_.after(kAcceptPause, [this] { accept(); });
      admit(std::move(socket));
      accept();
    });
  }

  // Within the limits, or not at all. It may be cut later, too, in favour of another.
  void admit(tcp::socket socket) {
    error_code error;
    const tcp::endpoint endpoint = socket.remote_endpoint(error);
    if (error) return;  // it is gone
    socket.set_option(tcp::no_delay(true), error);
    const std::string address = endpoint.address().to_string();
    Peer peer{text_of(endpoint), client_of(address), tls_ != nullptr};
    if (const auto parsed = parse_address(address)) peer.is_proxy = core_.proxies.contains(*parsed);
    const auto stream = std::make_shared<Stream>(accepted_socket(std::move(socket), tls_),
                                                 core_.options.idle_timeout);
    // A proxy's connections are those of many clients: each counts as another's.
    const std::string& holder = peer.is_proxy ? peer.address : peer.client;
    auto place = limits_->take(holder, [weak = std::weak_ptr(stream)] {
      if (const auto cut = weak.lock()) cut->cut();
    });
    if (!place) return;
    stream->start(
        std::make_shared<HttpSession>(*stream, core_, std::move(peer), *std::move(place)));
  }

  void probe_peers() {
    loop_.after(core_.options.ping_interval, [this] {
      for (const auto& [id, peer] : core_.peers) peer->probe();
      probe_peers();
    });
  }

  // Polled until it may end.
  void wait_for_end(Clock::time_point deadline) {
    constexpr std::chrono::milliseconds kLook{20};
    if (!core_.peers.empty() || !core_.exchanges.empty()) {
      if (Clock::now() < deadline) {
        return loop_.after(kLook, [this, deadline] { wait_for_end(deadline); });
      }
      for (const auto& [id, peer] : core_.peers) peer->cut();
    }
    if (own_loop_ != nullptr) own_loop_->post([this] { own_loop_->stop(); });
  }

  std::unique_ptr<EventLoop> own_loop_;
  EventLoop& loop_;
  TransportCore core_;
  std::shared_ptr<ConnectionLimits> limits_;
  TlsContext tls_{};
  tcp::acceptor acceptor_;
  std::uint16_t port_ = 0;
};

}  // namespace

void TransportCore::open(Stream& stream, const HttpRequest& request,
                         ConnectionLimits::Place place) {
  const ConnectionId id = ++last_id;
  auto served = std::make_unique<ServedWebSocket>(*this, id, std::move(place));
  ServedWebSocket& events_of_it = *served;
  const auto session = std::make_shared<WebSocketSession>(
      stream,
      WebSocketSession::Options{.side = Side::kServer,
                                .max_message_bytes = options.max_message_bytes,
                                .max_unsent_bytes = options.max_unsent_bytes,
                                .idle_timeout = options.idle_timeout,
                                .received = ReceiveBudget::Share(received, request.client)},
      std::move(served));
  stream.set_session(session);
  peers.emplace(id, session.get());
  events_of_it.close_if_it_throws([&] { events->on_open(id, request); });
}

std::unique_ptr<Transport> Transport::bind(const TransportOptions& options) {
  return std::make_unique<AsioTransport>(nullptr, options);
}

std::unique_ptr<Transport> Transport::listen(const TransportOptions& options,
                                             TransportEvents& events) {
  auto transport = bind(options);
  transport->open(events);
  return transport;
}

std::unique_ptr<Transport> Transport::listen(EventLoop& loop, const TransportOptions& options,
                                             TransportEvents& events) {
  auto transport = std::make_unique<AsioTransport>(&loop, options);
  transport->open(events);
  return transport;
}

}  // namespace fvlm::net
