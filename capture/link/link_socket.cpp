// Compiled as C++17: websocketpp's headers are not C++20. What it gets wrong, and what is done:
//   a client object that is used again grows       one for each try
//   a name that resolves late reaches a client     a client that is done with is kept until no
//   that is gone                                   answer can come any more
//   a peer that says nothing is kept for ever      pings; silence for long: closed
//   payloads are copied before they are masked     pictures are put into a prepared message
#include "capture/link/link_socket.hpp"

#include <asio.hpp>
#include <asio/ssl.hpp>
#include <chrono>
#include <cstring>
#include <random>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <websocketpp/client.hpp>
#include <websocketpp/config/asio_client.hpp>
#include <websocketpp/config/asio_no_tls_client.hpp>

namespace fvlm::capture {
namespace {

constexpr std::size_t kMaxAnswer = std::size_t{1} << 20;
constexpr std::chrono::milliseconds kPing{10'000};
constexpr std::chrono::milliseconds kSilence{25'000};
constexpr std::chrono::milliseconds kResolverPatience{60'000};
constexpr std::chrono::milliseconds kClosingPatience{2'000};

// What websocketpp would print is told to Events.
template <class Base>
struct Quiet : Base {
  static const websocketpp::log::level alog_level = websocketpp::log::alevel::none;
  static const websocketpp::log::level elog_level = websocketpp::log::elevel::none;
};
using Plain = Quiet<websocketpp::config::asio_client>;
using Secure = Quiet<websocketpp::config::asio_tls_client>;
using Context = asio::ssl::context;

// Over the whole, eight bytes at a time.
void mask(std::string& payload, std::uint32_t key) {
  const std::uint64_t twice = std::uint64_t{key} << 32 | key;
  std::size_t at = 0;
  for (; at + 8 <= payload.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, &payload[at], 8);
    word ^= twice;
    std::memcpy(&payload[at], &word, 8);
  }
  for (; at < payload.size(); ++at) {
    payload[at] = static_cast<char>(payload[at] ^ static_cast<char>(key >> at % 4 * 8));
  }
}

template <class Config>
class Try : public std::enable_shared_from_this<Try<Config>> {
 public:
  using Client = websocketpp::client<Config>;
  using Handle = websocketpp::connection_hdl;

  Try(EventLoop& loop, const ServerAddress& address, LinkSocket::Events events)
      : loop_(loop), address_(address), events_(std::move(events)) {}

  void start() {
    client_.init_asio(&loop_.context());
    client_.set_max_message_size(kMaxAnswer);
    client_.set_open_handler([this](Handle) {
      heard_ = Clock::now();
      if (events_.opened) events_.opened();
      watch();
    });
    client_.set_message_handler([this](Handle, typename Client::message_ptr message) {
      heard_ = Clock::now();
      const bool text = message->get_opcode() == websocketpp::frame::opcode::text;
      if (text && events_.text) events_.text(message->get_payload());
    });
    client_.set_pong_handler([this](Handle, const std::string&) { heard_ = Clock::now(); });
    client_.set_fail_handler([this](Handle) { end(failure()); });
    client_.set_close_handler([this](Handle) { end(closing()); });
    secure();
    std::error_code error;
    connection_ = client_.get_connection(address_.url, error);
    if (!error && !address_.api_key.empty()) {
      connection_->append_header("Authorization", "Bearer " + address_.api_key);
    }
    if (error) {
      loop_.post([self = this->shared_from_this(), error] { self->end(error.message()); });
    } else {
      client_.connect(connection_);
    }
  }

  void send(const std::string& text) {
    if (connection_ != nullptr) {
      connection_->send(text, websocketpp::frame::opcode::text);  // closed() follows a failure
    }
  }

  std::uint64_t send(const Picture& picture) {
    if (connection_ == nullptr) return 0;
    const auto opcode = websocketpp::frame::opcode::binary;
    const auto message = connection_->get_message(opcode, picture.size());
    std::string& payload = message->get_raw_payload();
    payload.reserve(picture.size());
    for (const Bytes& piece : picture.pieces) {
      if (piece.size > 0) payload.append(reinterpret_cast<const char*>(piece.data), piece.size);
    }
    websocketpp::frame::masking_key_type key;
    key.i = random_();
    mask(payload, key.i);
    const websocketpp::frame::basic_header header(opcode, payload.size(), true, true);
    const websocketpp::frame::extended_header rest(payload.size(), key.i);
    message->set_header(websocketpp::frame::prepare_header(header, rest));
    message->set_prepared(true);
    connection_->send(message);  // closed() follows a failure
    return picture.size();
  }

  // No more events. Closes what is open, and lives on until nothing can refer to it any more.
  void abandon() {
    events_ = {};
    if (connection_ != nullptr) {
      std::error_code ignored;  // it may be closed, or not open yet
      connection_->close(websocketpp::close::status::going_away, "", ignored);
      loop_.after(kClosingPatience, [self = this->shared_from_this()] { self->cut(); });
    }
    loop_.after(kResolverPatience, [self = this->shared_from_this()] {});
  }

 private:
  void secure() {
    if constexpr (std::is_same_v<Config, Secure>) {
      client_.set_tls_init_handler([this](Handle) {
        auto context = std::make_shared<Context>(Context::tls_client);
        std::error_code error;
        context->set_verify_mode(asio::ssl::verify_peer, error);
        if (address_.ca_file.empty()) {
          context->set_default_verify_paths(error);
        } else {
          context->load_verify_file(address_.ca_file, error);
        }
        const websocketpp::uri where(address_.url);
        context->set_verify_callback(asio::ssl::host_name_verification(where.get_host()), error);
        return context;
      });
    }
  }

  std::string failure() const {
    const int status = static_cast<int>(connection_->get_response_code());
    if (status == 401) return "the server asks for another API key";
    if (status == 429) return "the server lets this address wait: too many wrong API keys";
    if (status >= 300) return "the server answered with HTTP status " + std::to_string(status);
    return connection_->get_ec().message();
  }
  std::string closing() const {
    const std::string& reason = connection_->get_remote_close_reason();
    return reason.empty() ? "the server closed the connection" : reason;
  }

  void end(const std::string& why) {
    connection_.reset();
    if (events_.closed) events_.closed(why);
  }

  void cut() {
    if (connection_ == nullptr) return;
    std::error_code ignored;  // it is closed
    connection_->get_raw_socket().lowest_layer().close(ignored);
  }

  void watch() {
    loop_.after(kPing, [self = this->shared_from_this()] {
      if (self->connection_ == nullptr) return;
      if (Clock::now() - self->heard_ > kSilence) {
        self->cut();
        return;
      }
      std::error_code ignored;  // it is closing
      self->connection_->ping("", ignored);
      self->watch();
    });
  }

  EventLoop& loop_;
  ServerAddress address_;
  LinkSocket::Events events_;
  std::random_device random_{};
  Clock::time_point heard_{};
  Client client_{};
  typename Client::connection_ptr connection_{};
};

template <class Config>
class TrySocket final : public LinkSocket {
 public:
  TrySocket(EventLoop& loop, const ServerAddress& address, Events events)
      : try_(std::make_shared<Try<Config>>(loop, address, std::move(events))) {
    try_->start();
  }
  ~TrySocket() override { try_->abandon(); }
  void send(const std::string& text) override { try_->send(text); }
  std::uint64_t send(const Picture& picture) override { return try_->send(picture); }

 private:
  std::shared_ptr<Try<Config>> try_;
};

}  // namespace

void check_address(const ServerAddress& address) {
  const websocketpp::uri uri(address.url);
  const std::string& scheme = uri.get_scheme();
  if (!uri.get_valid() || (scheme != "ws" && scheme != "wss")) {
    throw std::invalid_argument(address.url + ": not an address of the form ws://HOST:PORT/ws");
  }
}

std::unique_ptr<LinkSocket> connect(EventLoop& loop, const ServerAddress& address,
                                    LinkSocket::Events events) {
  if (websocketpp::uri(address.url).get_secure()) {
    return std::make_unique<TrySocket<Secure>>(loop, address, std::move(events));
  }
  return std::make_unique<TrySocket<Plain>>(loop, address, std::move(events));
}

}  // namespace fvlm::capture
