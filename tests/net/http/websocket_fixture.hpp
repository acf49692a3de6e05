// The transport against RFC 6455, case by case. A server behind it says every text back, and binary
// messages in hexadecimal. Each of the 372 cases is a connection of its own.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "net/http/transport.hpp"
#include "tests/support/raw_websocket.hpp"

namespace fvlm {

using enum RawWebSocket::Opcode;

inline constexpr std::size_t kLimit = 1 << 20;  // bytes of a message

inline std::string hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

class Echo final : private net::TransportEvents {
 public:
  Echo() : transport_(net::Transport::listen(options(), *this)) {
    thread_ = std::thread([this] { transport_->run(); });
  }
  ~Echo() override {
    transport_->post([this] { transport_->stop(); });
    thread_.join();
  }
  std::uint16_t port() const { return transport_->port(); }

 private:
  static net::TransportOptions options() {
    return {.port = 0, .max_message_bytes = kLimit, .max_unsent_bytes = 8 * kLimit};
  }
  std::optional<net::HttpResponse> on_head(net::HttpRequest&) override { return {}; }
  net::HttpResponse on_upgrade(net::HttpRequest&) override { return {.status = 101}; }
  void on_open(net::ConnectionId, const net::HttpRequest&) override {}
  void on_message(net::ConnectionId id, std::string payload, bool binary) override {
    if (payload == "throw") throw std::runtime_error("as asked");
    transport_->send(id, binary ? hex(payload) : payload);
  }
  void on_close(net::ConnectionId) override {}
  std::optional<net::HttpResponse> on_http(net::ExchangeId, net::HttpRequest request) override {
    if (request.path == "/throw") throw std::runtime_error("as asked");
    return net::HttpResponse{};
  }
  void on_http_gone(net::ExchangeId) override {}
  net::HttpResponse refusal(const net::HttpRequest&, int status, const std::string& why) override {
    return net::text_response(status, why);
  }
  void on_error(const std::string& what) override { EXPECT_EQ(what, "as asked"); }

  std::unique_ptr<net::Transport> transport_;
  std::thread thread_;
};

inline constexpr int kOpen = -1;  // the client ends the connection, after what it sends

struct Case {
  std::string name;
  std::vector<std::string> sent;                       // pieces, one after the other
  std::vector<std::pair<int, std::string>> answers{};  // opcode and payload of data and pongs
  int close_code = kOpen;                              // of the server's close frame
};

inline std::string frame(int opcode, std::string_view payload, bool final = true) {
  return client_frame(opcode, payload, final);
}

inline std::string with_first_byte(std::string bytes, int first) {
  bytes[0] = static_cast<char>(first);
  return bytes;
}

inline std::string close_frame(int code, std::string_view reason = "") {
  std::string payload = {static_cast<char>(code >> 8), static_cast<char>(code & 0xff)};
  return frame(kClose, payload.append(reason));
}

inline std::vector<std::string> in_pieces(const std::string& bytes, std::size_t size) {
  std::vector<std::string> pieces;
  for (std::size_t i = 0; i < bytes.size(); i += size) pieces.push_back(bytes.substr(i, size));
  return pieces;
}

class Conformance : public testing::Test {
 protected:
  // What comes back must be exactly what is expected, then the end.
  static void check(const Case& c) {
    SCOPED_TRACE(c.name);
    RawWebSocket client(echo().port());
    for (const std::string& piece : c.sent) client.socket().send(piece);
    if (c.close_code == kOpen) client.socket().send(close_frame(1000));
    std::vector<std::pair<int, std::string>> answers;
    std::optional<int> code;
    while (const auto answer = client.next()) {
      EXPECT_FALSE(code.has_value()) << "a frame after the close frame";
      EXPECT_TRUE(answer->final);
      if (answer->opcode != kClose) {
        answers.emplace_back(answer->opcode, answer->payload);
      } else {
        ASSERT_GE(answer->payload.size(), 2U);
        code = static_cast<unsigned char>(answer->payload[0]) << 8 |
               static_cast<unsigned char>(answer->payload[1]);
      }
    }
    ASSERT_EQ(answers.size(), c.answers.size());
    for (std::size_t i = 0; i < answers.size(); ++i) {
      EXPECT_EQ(answers[i].first, c.answers[i].first);
      EXPECT_TRUE(answers[i].second == c.answers[i].second) << "payload of answer " << i;
    }
    ASSERT_TRUE(code.has_value()) << "no close frame";
    EXPECT_EQ(*code, c.close_code == kOpen ? 1000 : c.close_code);
  }
  static void check_text(const std::string& name, const std::string& text, bool valid) {
    if (valid) {
      check({name, {frame(kText, text)}, {{kText, text}}});
    } else {
      check({name, {frame(kText, text)}, {}, 1007});
    }
  }
  static void SetUpTestSuite() { echo_ = std::make_unique<Echo>(); }
  static void TearDownTestSuite() { echo_.reset(); }
  static Echo& echo() { return *echo_; }

 private:
  static inline std::unique_ptr<Echo> echo_;
};

}  // namespace fvlm
