// Compiled as C++17: websocketpp's headers are not C++20. Pitfalls of websocketpp, and how they are
// handled:
//   hybi00 ignores the limit on messages            only version 13 is accepted
//   the send queue has no bound                     a ping follows each picture, and while two are
//                                                   unanswered, pictures are skipped
//   a stalled peer is kept for ever                 idle and write timeouts
//   out of descriptors, accepting spins             few connections, each with a lease in its
//                                                   object: the end of HTTP calls no handler
//   a deferred response has no timeout              our own
#include "capture/page_transport.hpp"

#include <algorithm>
#include <asio.hpp>
#include <map>
#include <memory>
#include <system_error>
#include <websocketpp/config/asio_no_tls.hpp>
#include <websocketpp/server.hpp>

#include "net/http/connection_limits.hpp"
#include "net/http/websocket_request-inl.hpp"

namespace fvlm::capture {
namespace {

constexpr std::size_t kMaxMessage = std::size_t{64} << 10;
constexpr std::chrono::milliseconds kBrowserPing{10'000};
constexpr std::chrono::milliseconds kBrowserIdleTimeout{25'000};
constexpr std::chrono::milliseconds kPicturePatience{2'000};
constexpr std::uint64_t kUnderway = 2;  // pictures in flight to one viewer
constexpr char kBoundary[] = "fastvlm-frame";

// What we keep of a connection, as a part of websocketpp's own object.
struct ConnectionState : websocketpp::connection_base {
  net::ConnectionLimits::Place place{};
  std::string client{};  // net::client_of() the other side
};

struct Config : websocketpp::config::asio {
  using connection_base = ConnectionState;
  static const websocketpp::log::level alog_level = websocketpp::log::alevel::none;
  static const websocketpp::log::level elog_level = websocketpp::log::elevel::none;
};
using Server = websocketpp::server<Config>;
using Handle = websocketpp::connection_hdl;
using ConnectionPtr = Server::connection_ptr;
using Shared = std::shared_ptr<const std::string>;
using Headers = net::HttpHeaders;

void append(const Picture& picture, std::string& to) {
  to.reserve(picture.size());
  for (const Bytes& piece : picture.pieces) {
    if (piece.size > 0) to.append(reinterpret_cast<const char*>(piece.data), piece.size);
  }
}

class WebPageTransport final : public PageTransport {
 public:
  WebPageTransport(EventLoop& loop, const PageAddress& address, PageEvents& events)
      : loop_(loop),
        limits_(std::make_shared<net::ConnectionLimits>(address.max_connections,
                                                        address.max_connections_per_address)),
        events_(events) {
    server_.init_asio(&loop.context());
    server_.set_reuse_addr(true);
    server_.set_max_message_size(kMaxMessage);
    server_.set_max_http_body_size(kMaxMessage);
    server_.set_tcp_pre_init_handler(
        [this](Handle handle) { net::admit(server_, handle, *limits_); });
    server_.set_validate_handler([this](Handle handle) { return validate(handle); });
    server_.set_http_handler([this](Handle handle) { answer(handle); });
    server_.set_open_handler([this](Handle handle) { open(handle); });
    server_.set_message_handler(
        [this](Handle handle, Server::message_ptr message) { receive(handle, message); });
    server_.set_pong_handler(
        [this](Handle handle, const std::string& number) { pong(handle, number); });
    server_.set_close_handler([this](Handle handle) { end(handle); });
    std::error_code error;
    server_.listen(address.host, std::to_string(address.port), error);
    if (!error) server_.start_accept(error);
    if (error) {
      throw std::system_error(error, address.host + ":" + std::to_string(address.port));
    }
    watch();
  }

  std::uint16_t port() const override {
    std::error_code error;
    // Not const in websocketpp, though it changes nothing.
    return const_cast<Server&>(server_).get_local_endpoint(error).port();
  }

  void send(ViewerId id, const std::string& text) override {
    const auto viewer = viewers_.find(id);
    if (viewer != viewers_.end()) {
      viewer->second.connection->send(text, websocketpp::frame::opcode::text);
    }
  }

  void set_form(ViewerId id, Form form) override {
    const auto viewer = viewers_.find(id);
    if (viewer != viewers_.end()) viewer->second.form = form;
  }

  bool wants_picture() const override {
    const auto free = [](const auto& each) { return each.second.is_free(); };
    return !waiting_.empty() || std::any_of(viewers_.begin(), viewers_.end(), free) ||
           std::any_of(streams_.begin(), streams_.end(), free);
  }

  std::uint64_t show(const Picture& picture, const TextOf& text_of) override {
    std::uint64_t moved = 0;
    Server::message_ptr binary;  // each form is made when the first one wants it, and once
    Shared jpeg;
    std::string text;
    const auto need_jpeg = [&] {
      if (jpeg != nullptr) return;
      auto bytes = std::make_shared<std::string>();
      append(picture, *bytes);
      moved += bytes->size();
      jpeg = std::move(bytes);
    };
    for (auto& [id, viewer] : viewers_) {
      if (!viewer.is_free()) continue;
      if (viewer.form == Form::kBinary) {
        if (binary == nullptr) {
          binary = prepared(viewer.connection, picture);
          moved += picture.size();
        }
        viewer.connection->send(binary);
      } else {
        need_jpeg();
        if (text.empty()) text = text_of(*jpeg);
        viewer.connection->send(text, websocketpp::frame::opcode::text);
        moved += text.size();
      }
      ping(viewer, ++viewer.shown);
    }
    for (auto& [id, stream] : streams_) {
      if (!stream.is_free()) continue;
      need_jpeg();
      write_part(id, stream, jpeg);
    }
    for (const Waiting& each : std::exchange(waiting_, {})) {
      need_jpeg();
      respond(each.connection, {200, "image/jpeg", *jpeg, each.headers});
      moved += jpeg->size();
    }
    return moved;
  }

  void disappoint(const std::string& why) override {
    for (const Waiting& each : std::exchange(waiting_, {})) {
      respond(each.connection, net::text_response(503, why, each.headers));
    }
  }

  std::size_t viewers() const override { return viewers_.size() + streams_.size(); }
  void on_wish(std::function<void()> wish) override { wish_ = std::move(wish); }

  void stop() override {
    std::error_code ignored;  // it has stopped already
    if (server_.is_listening()) server_.stop_listening(ignored);
    disappoint("the camera client stops");
    const auto going = websocketpp::close::status::going_away;
    for (auto& [id, viewer] : viewers_) viewer.connection->close(going, "", ignored);
    for (auto& [id, stream] : streams_) net::cut(*stream.connection);
  }

 private:
  // A viewer over WebSocket.
  struct Viewer {
    ConnectionPtr connection;
    Clock::time_point heard;
    Form form = Form::kText;
    std::uint64_t shown = 0;  // pictures so far
    std::uint64_t taken = 0;  // the last of them that a pong acknowledged

    bool is_free() const { return shown - taken < kUnderway; }
  };
  // A client of the endless MJPEG response.
  struct Stream {
    ConnectionPtr connection;
    Clock::time_point begun;  // of the write in flight
    bool writing = false;

    bool is_free() const { return !writing; }
  };
  struct Waiting {
    ConnectionPtr connection;
    Clock::time_point since;
    Headers headers;
  };

  static void respond(const ConnectionPtr& connection, const net::HttpResponse& response) {
    net::put(response, *connection);
    std::error_code ignored;  // it went away meanwhile
    connection->send_http_response(ignored);
  }

  bool validate(Handle handle) {
    const ConnectionPtr connection = server_.get_con_from_hdl(handle);
    connection->place.keep();
    auto response = net::refuse_handshake(*connection);
    if (!response) response = events_.on_upgrade(net::request_of(*connection));
    if (response->status == 101) return true;
    net::put(*response, *connection);
    return false;
  }

  void answer(Handle handle) {
    const ConnectionPtr connection = server_.get_con_from_hdl(handle);
    connection->place.keep();
    const PageAnswer answer = events_.on_request(net::request_of(*connection));
    if (answer.follow == PageAnswer::Follow::kNothing) {
      net::put(answer.response, *connection);
      return;
    }
    connection->defer_http_response();
    if (answer.follow == PageAnswer::Follow::kPicture) {
      waiting_.push_back({connection, Clock::now(), answer.response.headers});
      loop_.after(kPicturePatience, [this] { disappoint_late(); });
      wish_();
    } else {
      begin_stream(connection, answer.response.headers);
    }
  }

  void disappoint_late() {
    const bool late =
        !waiting_.empty() && Clock::now() - waiting_.front().since >= kPicturePatience;
    if (late) disappoint("no picture came");
  }

  void begin_stream(const ConnectionPtr& connection, const Headers& headers) {
    const ViewerId id = next_id_++;
    streams_.emplace(id, Stream{connection, Clock::now(), false});
    const std::string boundary = kBoundary;
    std::string head =
        "HTTP/1.1 200 OK\r\nConnection: close\r\n"
        "Content-Type: multipart/x-mixed-replace; boundary=" +
        boundary + "\r\n";
    for (const auto& [name, value] : headers) head += name + ": " + value + "\r\n";
    head += "\r\n--" + boundary + "\r\n";
    write(id, streams_.at(id), std::make_shared<const std::string>(std::move(head)), nullptr,
          nullptr);
  }

  void write_part(ViewerId id, Stream& stream, const Shared& jpeg) {
    const auto head = std::make_shared<const std::string>(
        "Content-Type: image/jpeg\r\nContent-Length: " + std::to_string(jpeg->size()) + "\r\n\r\n");
    const auto tail =
        std::make_shared<const std::string>(std::string("\r\n--") + kBoundary + "\r\n");
    write(id, stream, head, jpeg, tail);
  }

  void write(ViewerId id, Stream& stream, const Shared& head, const Shared& body,
             const Shared& tail) {
    stream.writing = true;
    stream.begun = Clock::now();
    std::vector<asio::const_buffer> buffers;
    for (const Shared& part : {head, body, tail}) {
      if (part != nullptr) buffers.push_back(asio::buffer(*part));
    }
    asio::async_write(stream.connection->get_raw_socket(), buffers,
                      [this, id, head, body, tail](const std::error_code& error, std::size_t) {
                        written(id, error);
                      });
  }

  void written(ViewerId id, const std::error_code& error) {
    const auto stream = streams_.find(id);
    if (stream == streams_.end()) return;
    stream->second.writing = false;
    if (!error) {
      wish_();
      return;
    }
    const ConnectionPtr connection = stream->second.connection;
    streams_.erase(stream);
    connection->terminate(
        websocketpp::error::make_error_code(websocketpp::error::http_connection_ended));
  }

  // One message for all viewers: a server's are not masked.
  static Server::message_ptr prepared(const ConnectionPtr& connection, const Picture& picture) {
    const auto opcode = websocketpp::frame::opcode::binary;
    const auto message = connection->get_message(opcode, picture.size());
    append(picture, message->get_raw_payload());
    const websocketpp::frame::basic_header header(opcode, picture.size(), true, false);
    const websocketpp::frame::extended_header rest(picture.size());
    message->set_header(websocketpp::frame::prepare_header(header, rest));
    message->set_prepared(true);
    return message;
  }

  void open(Handle handle) {
    const ConnectionPtr connection = server_.get_con_from_hdl(handle);
    const ViewerId id = next_id_++;
    viewers_.emplace(id, Viewer{connection, Clock::now()});
    ids_.emplace(handle, id);
    events_.on_open(id, net::request_of(*connection));
    wish_();
  }

  void receive(Handle handle, const Server::message_ptr& message) {
    const auto known = ids_.find(handle);
    if (known == ids_.end()) return;
    viewers_.at(known->second).heard = Clock::now();
    if (message->get_opcode() == websocketpp::frame::opcode::text) {
      events_.on_text(known->second, message->get_payload());
    }
  }

  void end(Handle handle) {
    const auto known = ids_.find(handle);
    if (known == ids_.end()) return;
    const ViewerId id = known->second;
    ids_.erase(known);
    viewers_.erase(id);
    events_.on_close(id);
  }

  static void ping(Viewer& viewer, std::uint64_t number) {
    std::error_code ignored;  // it is closing
    viewer.connection->ping(std::to_string(number), ignored);
  }

  void pong(Handle handle, const std::string& number) {
    const auto known = ids_.find(handle);
    if (known == ids_.end()) return;
    Viewer& viewer = viewers_.at(known->second);
    viewer.heard = Clock::now();
    const std::uint64_t taken = std::strtoull(number.c_str(), nullptr, 10);
    if (taken <= viewer.shown) viewer.taken = std::max(viewer.taken, taken);
    wish_();
  }

  void watch() {
    loop_.after(kBrowserPing, [this] {
      const Clock::time_point late = Clock::now() - kBrowserIdleTimeout;
      std::vector<ConnectionPtr> idle;
      for (auto& [id, viewer] : viewers_) {
        if (viewer.heard < late) idle.push_back(viewer.connection);
        ping(viewer, viewer.taken);
      }
      for (auto& [id, stream] : streams_) {
        if (stream.writing && stream.begun < late) idle.push_back(stream.connection);
      }
      for (const ConnectionPtr& connection : idle) net::cut(*connection);
      watch();
    });
  }

  EventLoop& loop_;
  std::shared_ptr<net::ConnectionLimits> limits_;
  PageEvents& events_;
  std::function<void()> wish_ = [] {};
  ViewerId next_id_ = 1;
  std::map<ViewerId, Viewer> viewers_{};
  std::map<ViewerId, Stream> streams_{};
  std::vector<Waiting> waiting_{};
  std::map<Handle, ViewerId, std::owner_less<Handle>> ids_{};
  Server server_{};
};

}  // namespace

std::unique_ptr<PageTransport> PageTransport::listen(EventLoop& loop, const PageAddress& address,
                                                     PageEvents& events) {
  return std::make_unique<WebPageTransport>(loop, address, events);
}

}  // namespace fvlm::capture
