// The rest of an HTTP exchange whose response websocketpp leaves to us (defer_http_response):
// written in chunks straight to its socket, which is read meanwhile, the only way to learn that the
// client has disconnected. websocketpp has no timeout for such an exchange, so it has its own.
// C++17, and all on the thread of the transport.
#pragma once

#include <array>
#include <asio.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <websocketpp/http/constants.hpp>

#include "net/http/transport.hpp"

namespace fvlm::net {

template <class Connection>
class HttpExchange : public std::enable_shared_from_this<HttpExchange<Connection>> {
 public:
  using ConnectionPtr = std::shared_ptr<Connection>;

  // `on_end` is called once, with whether the whole response was written.
  HttpExchange(ConnectionPtr connection, const TransportOptions& options,
               std::function<void(bool whole)> on_end)
      : connection_(std::move(connection)),
        max_unsent_bytes_(options.max_unsent_bytes),
        response_timeout_(options.response_timeout),
        close_timeout_(options.idle_timeout),
        on_end_(std::move(on_end)),
        deadline_(connection_->get_raw_socket().get_executor()) {}

  void start() {
    set_deadline(response_timeout_);
    watch();
  }

  // The head and the body, or with `more` the beginning of a body that ends with the connection.
  void begin(const HttpResponse& response, bool more) {
    const auto status = static_cast<websocketpp::http::status_code::value>(response.status);
    std::string head = "HTTP/1.1 " + std::to_string(response.status) + " " +
                       websocketpp::http::status_code::get_string(status) +
                       "\r\nContent-Type: " + response.content_type + "\r\nConnection: close\r\n";
    for (const auto& [name, value] : response.headers) head += name + ": " + value + "\r\n";
    if (!more) head += "Content-Length: " + std::to_string(response.body.size()) + "\r\n";
    add(head + "\r\n" + response.body);
    if (!more) finish();
  }

  void add(const std::string& piece) {
    if (!on_end_) return;
    unsent_ += piece;
    if (unsent_.size() > max_unsent_bytes_) {
      end(false);
    } else {
      write();
    }
  }

  void finish() {
    finished_ = true;
    set_deadline(close_timeout_);
    write();
  }

 private:
  void set_deadline(std::chrono::milliseconds time) {
    deadline_.expires_after(time);
    deadline_.async_wait([self = this->shared_from_this()](const std::error_code& error) {
      if (!error) self->end(false);
    });
  }

  // Data after the request is discarded.
  void watch() {
    connection_->get_socket().async_read_some(
        asio::buffer(received_),
        [self = this->shared_from_this()](const std::error_code& error, std::size_t) {
          if (error) {
            self->end(false);
          } else if (self->on_end_) {
            self->watch();
          }
        });
  }

  void write() {
    if (!on_end_ || !writing_.empty()) return;
    if (unsent_.empty()) {
      if (finished_) end(true);
      return;
    }
    writing_.swap(unsent_);
    asio::async_write(connection_->get_socket(), asio::buffer(writing_),
                      [self = this->shared_from_this()](const std::error_code& error, std::size_t) {
                        self->writing_.clear();
                        if (error) {
                          self->end(false);
                        } else {
                          self->write();
                        }
                      });
  }

  void end(bool whole) {
    if (!on_end_) return;
    deadline_.cancel();
    if (whole) {
      connection_->terminate({});
    } else {
      std::error_code ignored;  // it is closed
      connection_->get_raw_socket().close(ignored);
      connection_->terminate(std::make_error_code(std::errc::connection_aborted));
    }
    std::exchange(on_end_, nullptr)(whole);
  }

  ConnectionPtr connection_;
  std::size_t max_unsent_bytes_;
  std::chrono::milliseconds response_timeout_;
  std::chrono::milliseconds close_timeout_;
  std::function<void(bool)> on_end_;  // empty once called
  asio::steady_timer deadline_;
  std::array<char, 512> received_{};
  std::string unsent_;
  std::string writing_;
  bool finished_ = false;
};

}  // namespace fvlm::net
