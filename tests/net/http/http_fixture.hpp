// A server of HTTP that says back what it was asked, for tests from its client's side.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "net/http/transport.hpp"
#include "tests/support/raw_websocket.hpp"
#include "tests/support/waiting.hpp"

namespace fvlm {

class EchoServer final : private net::TransportEvents {
 public:
  explicit EchoServer(net::TransportOptions options = {}) {
    options.port = 0;
    transport_ = net::Transport::listen(options, *this);
    thread_ = std::thread([this] { transport_->run(); });
  }
  ~EchoServer() override { stop(); }
  void stop() {
    if (!thread_.joinable()) return;
    transport_->post([this] { transport_->stop(); });
    thread_.join();
  }
  std::uint16_t port() const { return transport_->port(); }
  // Whether so many requests come to have arrived; to have ended, by an answer or without.
  bool has_asked(std::size_t count) const {
    return wait_for([&] { return asked_ == count; });
  }
  bool has_ended(std::size_t count) const {
    return wait_for([&] { return ended_ == count; });
  }
  // Requests without an answer whose clients have left.
  std::size_t gone() const { return gone_; }

 private:
  std::optional<net::HttpResponse> on_head(net::HttpRequest& request) override {
    if (request.path == "/throw/head") throw std::runtime_error("as asked");
    if (request.path == "/refused") return net::text_response(403, "not here");
    return std::nullopt;
  }
  net::HttpResponse on_upgrade(net::HttpRequest& request) override {
    return {.status = request.path == "/refused" ? 403 : 101};
  }
  void on_open(net::ConnectionId, const net::HttpRequest&) override {}
  void on_message(net::ConnectionId, std::string, bool) override {}
  void on_close(net::ConnectionId) override {}
  std::optional<net::HttpResponse> on_http(net::ExchangeId id, net::HttpRequest request) override {
    ++asked_;
    net::HttpResponse response;
    response.headers.emplace_back("Method", request.method);
    response.body = request.method + " " + request.path + " " + request.body;
    if (request.path == "/throw") throw std::runtime_error("as asked");
    if (request.path == "/host") response.body = request.host;
    if (request.path == "/204") return net::HttpResponse{.status = 204};
    if (request.path == "/large") response.body = std::string(std::size_t{64} << 20, 'x');
    if (request.path == "/never") return std::nullopt;
    if (request.path == "/later") {
      transport_->after(std::chrono::milliseconds(5),
                        [this, id, response] { transport_->respond(id, response); });
      return std::nullopt;
    }
    if (request.path == "/streamed" || request.path == "/endless") {
      transport_->post([this, id, response, endless = request.path == "/endless"]() mutable {
        response.body = "one ";
        transport_->begin_response(id, response);
        transport_->add_to_response(id, "two ");
        transport_->add_to_response(id, endless ? std::string(1 << 20, 'x') : "three");
        if (!endless) transport_->finish_response(id);
      });
      return std::nullopt;
    }
    return response;
  }
  void on_http_gone(net::ExchangeId) override { ++gone_; }
  void on_exchange(const net::HttpExchange&) override { ++ended_; }
  net::HttpResponse refusal(const net::HttpRequest&, int status, const std::string& why) override {
    return net::text_response(status, why);
  }
  void on_error(const std::string&) override {}

  std::atomic<std::size_t> asked_ = 0;
  std::atomic<std::size_t> ended_ = 0;
  std::atomic<std::size_t> gone_ = 0;
  std::unique_ptr<net::Transport> transport_;
  std::thread thread_;
};

}  // namespace fvlm
