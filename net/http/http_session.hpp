// HTTP/1.1 on one connection: reads a request, has it answered, and begins anew, until a WebSocket
// takes the connection over or one side ends it. The next request is not looked at before the last
// response is sent, so that a client that sends many and reads nothing fills no memory.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "net/http/http_parser.hpp"
#include "net/http/stream.hpp"
#include "net/http/transport_core.hpp"

namespace fvlm::net {

class HttpSession final : public Stream::Session {
 public:
  HttpSession(Stream& stream, TransportCore& core, Peer peer, ConnectionLimits::Place place);

  // Of the exchange that is open.
  void respond(HttpResponse response);
  void begin_response(const HttpResponse& response, StreamedBody body);
  void add_to_response(SharedBytes piece);
  void finish_response();
  void abandon_response() { stream_.cut(); }

  void on_bytes(std::string& unread) override;
  void on_farewell() override;
  void on_flushed() override;
  void on_deadline() override;
  void on_end(const std::string& why) override;

 private:
  using Clock = std::chrono::steady_clock;
  enum class State {
    kReading,    // a request, or waiting for one
    kAnswering,  // its response is not there yet
    kStreaming,  // its response has begun
    kSending,    // its response is whole, but not all with the kernel
    kLeft,       // the connection ends, or belongs to a WebSocket
  };

  void on_head(bool body_begun);
  void on_request();
  // The response if the path lies outside of the base path.
  std::optional<HttpResponse> leave_base_path(HttpRequest& request);
  HttpResponse answer_handshake(HttpRequest& request);
  HttpResponse refusal(int status, const std::string& why);
  HttpResponse busy();
  // A failure after which the connection ends.
  void refuse(int status, const std::string& why);
  void send(HttpResponse response, ResponseFraming::Body body);
  void begin_request();
  // `unwanted`: the rest of its response, if any, is not sent.
  void end_exchange(bool unwanted);
  // Begins and ends what logs and metrics learn of a request.
  void begin_record();
  void end_record();

  Stream& stream_;
  TransportCore& core_;
  Peer peer_;
  ConnectionLimits::Place place_;
  HttpParser parser_;
  std::optional<ReceiveBudget::Share> received_{};  // of the body that is coming
  State state_ = State::kReading;
  bool timed_ = false;  // the request that is read has its deadlines
  Clock::time_point due_{};
  bool farewell_ = false;  // no more requests come
  // Of the request that is answered.
  std::optional<HttpResponse> refusal_{};
  ResponseFraming framing_{};
  std::optional<HttpExchange> record_{};
  Clock::time_point asked_{};  // when its head was whole
  bool head_only_ = false;
  ExchangeId exchange_ = 0;  // 0: none
};

}  // namespace fvlm::net
