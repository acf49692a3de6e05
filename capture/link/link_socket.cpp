#include "capture/link/link_socket.hpp"

#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <chrono>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "capture/link/link_trouble.hpp"
#include "net/http/address.hpp"
#include "net/http/websocket_session.hpp"

namespace fvlm::capture {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using net::Opcode;

constexpr std::size_t kMaxAnswer = std::size_t{1} << 20;
constexpr std::chrono::milliseconds kPing{10'000};
constexpr std::chrono::milliseconds kIdleTimeout{25'000};
constexpr std::chrono::milliseconds kConnectTimeout{5'000};    // name and TCP
constexpr std::chrono::milliseconds kHandshakeTimeout{5'000};  // TLS and WebSocket

struct Url {
  bool secure = false;
  net::Authority authority{};
  std::string target = "/";

  std::string port() const {
    return std::to_string(authority.port != 0 ? authority.port : secure ? 443 : 80);
  }
  std::string host_header() const {
    const bool v6 = authority.host.find(':') != std::string::npos;
    const std::string host = v6 ? "[" + authority.host + "]" : authority.host;
    return authority.port == 0 ? host : host + ":" + port();
  }
};

// "ws://HOST[:PORT][/PATH]", or wss.
std::optional<Url> parse_url(std::string_view text) {
  Url url;
  url.secure = text.starts_with("wss://");
  if (!url.secure && !text.starts_with("ws://")) return std::nullopt;
  text.remove_prefix(url.secure ? 6 : 5);
  const std::size_t path = std::min(text.find_first_of("/?"), text.size());
  const auto authority = net::parse_authority(text.substr(0, path));
  if (!authority) return std::nullopt;
  url.authority = *authority;
  const std::string_view target = text.substr(path);
  for (const char c : target) {
    if (c <= ' ' || c > '~' || c == '#') return std::nullopt;
  }
  if (!target.empty()) url.target = (target.front() == '?' ? "/" : "") + std::string(target);
  return url;
}

ServerName name_of(const Url& url, bool has_key) {
  return {url.authority.host, url.port(), url.secure, has_key};
}

// What the user of a link is told, until it is gone.
using Told = std::shared_ptr<std::optional<LinkSocket::Events>>;

void tell_closed(const Told& told, const Trouble& why) {
  if (const auto events = std::exchange(*told, std::nullopt)) events->closed(why);
}

// Events of the WebSocket once it is open.
class OpenLink final : public net::WebSocketSession::Events {
 public:
  explicit OpenLink(Told told) : told_(std::move(told)) {}
  void on_message(std::string payload, bool binary) override {
    const auto events = *told_;  // which may go meanwhile
    if (!binary && events) events->text(payload);
  }
  void on_pong(const std::string&) override {}
  void on_closed(const std::string& why) override {
    tell_closed(told_,
                {Cause::kConnectionLost, why.empty() ? "the server closed the connection" : why});
  }

 private:
  Told told_;
};

// One try: resolves, connects, shakes hands, and hands its stream to a WebSocketSession.
class Try final : public net::Stream::Session, public std::enable_shared_from_this<Try> {
 public:
  Try(net::EventLoop& loop, const ServerAddress& address, LinkSocket::Events events)
      : loop_(loop),
        address_(address),
        url_(parse_url(address.url).value()),
        name_(name_of(url_, !address.api_key.empty())),
        told_(std::make_shared<std::optional<LinkSocket::Events>>(std::move(events))),
        resolver_(loop.context()),
        socket_(loop.context()) {}

  void start() {
    loop_.after(kConnectTimeout, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (self != nullptr) self->give_up_connecting(asio::error::timed_out);
    });
    resolver_.async_resolve(
        url_.authority.host, url_.port(),
        [self = shared_from_this()](const error_code& error,
                                    const tcp::resolver::results_type& found) {
          if (error) return self->give_up_connecting(error);
          if (!*self->told_) return;
          asio::async_connect(
              self->socket_, found,
              [self](const error_code& failure, const tcp::endpoint&) { self->on_tcp(failure); });
        });
  }

  net::WebSocketSession* session() const { return open_.lock().get(); }

  // No more events. Closes what is open.
  void abandon() {
    told_->reset();
    give_up_connecting(Trouble{});  // nobody is told
    if (auto* open = session()) {
      open->close({net::close_code::kGoingAway, ""});
    } else if (stream_ != nullptr) {
      stream_->cut();
    }
  }

  void on_connected() override {
    const std::string key = net::random_key();
    expected_ = net::accept_key(key);
    std::string request = "GET " + url_.target + " HTTP/1.1\r\nHost: " + url_.host_header() +
                          "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " +
                          key + "\r\n";
    if (!address_.api_key.empty()) request += "Authorization: Bearer " + address_.api_key + "\r\n";
    stream_->write(net::share(request + "\r\n"));
  }

  void on_bytes(std::string& unread) override {
    const std::size_t end = unread.find("\r\n\r\n");
    if (end == std::string::npos) {
      const std::string start = unread.substr(0, kHttp.size());
      if (unread.size() > kLongestHead || !kHttp.starts_with(start)) fail(protocol_trouble(name_));
      return;
    }
    http::response_parser<http::empty_body> response;
    error_code error;
    std::size_t taken = 0;
    while (!error && !response.is_header_done()) {
      taken += response.put(asio::buffer(unread.data() + taken, end + 4 - taken), error);
    }
    unread.erase(0, end + 4);
    if (error) return fail(protocol_trouble(name_));
    const auto accepted = response.get()[http::field::sec_websocket_accept];
    const int status = static_cast<int>(response.get().result_int());
    if (status != 101) return fail(status_trouble(name_, status, unread));
    if (std::string_view(accepted.data(), accepted.size()) != expected_) {
      return fail(protocol_trouble(name_));
    }
    open();
  }
  void on_farewell() override { stream_->cut(); }
  void on_flushed() override {}
  void on_deadline() override {
    fail(handshake_trouble(
        name_,
        "no answer within " + std::to_string(kHandshakeTimeout / std::chrono::seconds(1)) + " s"));
  }
  void on_end(const std::string& why) override {
    tell_closed(told_, handshake_trouble(name_, why));
  }

 private:
  static constexpr std::size_t kLongestHead = std::size_t{16} << 10;
  static constexpr std::string_view kHttp = "HTTP/1.";

  void give_up_connecting(const error_code& error) {
    give_up_connecting(connect_trouble(name_, error));
  }
  void give_up_connecting(const Trouble& why) {
    if (stream_ != nullptr) return;
    resolver_.cancel();
    error_code ignored;  // it is closed
    socket_.close(ignored);
    tell_closed(told_, why);
  }

  void on_tcp(const error_code& error) {
    if (error) return give_up_connecting(error);
    error_code ignored;
    socket_.set_option(tcp::no_delay(true), ignored);
    net::TlsContext tls;
    try {
      if (url_.secure) tls = net::client_tls(address_.ca_file);
    } catch (const std::runtime_error& wrong) {
      return give_up_connecting({Cause::kTlsFailed, wrong.what()});
    }
    stream_ = std::make_shared<net::Stream>(
        net::connected_socket(std::move(socket_), tls, url_.authority.host), kIdleTimeout);
    stream_->set_deadline(kHandshakeTimeout);
    stream_->start(shared_from_this());
  }

  void open() {
    const auto session = std::make_shared<net::WebSocketSession>(
        *stream_,
        net::WebSocketSession::Options{.side = net::Side::kClient,
                                       .max_message_bytes = kMaxAnswer,
                                       .max_unsent_bytes = std::numeric_limits<std::size_t>::max(),
                                       .idle_timeout = kIdleTimeout},
        std::make_unique<OpenLink>(told_));
    open_ = session;
    stream_->set_session(session);
    if (const auto events = *told_) events->opened();
    probe();
  }

  void probe() {
    loop_.after(kPing, [self = shared_from_this()] {
      if (auto* open = self->session()) {
        open->probe();
        self->probe();
      }
    });
  }

  void fail(const Trouble& why) {
    stream_->cut();
    tell_closed(told_, why);
  }

  net::EventLoop& loop_;
  ServerAddress address_;
  Url url_;
  ServerName name_;
  Told told_;
  tcp::resolver resolver_;
  tcp::socket socket_;
  std::shared_ptr<net::Stream> stream_{};
  std::weak_ptr<net::WebSocketSession> open_{};
  std::string expected_{};  // Sec-WebSocket-Accept
};

class TrySocket final : public LinkSocket {
 public:
  explicit TrySocket(std::shared_ptr<Try> attempt) : try_(std::move(attempt)) { try_->start(); }
  ~TrySocket() override { try_->abandon(); }
  void send(const std::string& text) override {
    if (auto* session = try_->session()) session->send(Opcode::kText, net::share(text));
  }
  std::uint64_t send(const Picture& picture) override {
    auto* session = try_->session();
    if (session == nullptr) return 0;
    std::array<std::string_view, 3> pieces{};
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const Bytes& piece = picture.pieces.at(i);
      if (piece.size > 0) pieces.at(i) = {reinterpret_cast<const char*>(piece.data), piece.size};
    }
    session->send(Opcode::kBinary, pieces);
    return picture.size();
  }

 private:
  std::shared_ptr<Try> try_;
};

}  // namespace

void check_address(const ServerAddress& address) {
  if (!parse_url(address.url)) {
    throw std::invalid_argument(address.url + ": not an address of the form ws://HOST:PORT/ws");
  }
}

std::string place_of(const ServerAddress& address) {
  return place_of(name_of(parse_url(address.url).value(), false));
}

std::unique_ptr<LinkSocket> connect(net::EventLoop& loop, const ServerAddress& address,
                                    LinkSocket::Events events) {
  return std::make_unique<TrySocket>(std::make_shared<Try>(loop, address, std::move(events)));
}

}  // namespace fvlm::capture
