#include "net/http/http_session.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include "net/http/address.hpp"
#include "net/http/subprotocol.hpp"
#include "net/http/websocket.hpp"

namespace fvlm::net {
namespace {

constexpr std::size_t kSmallBody = std::size_t{4} << 10;  // is copied to its head

// Browsers give up a WebSocket if none of the subprotocols that they offer is accepted.
std::string subprotocol_line(const HttpRequest& request) {
  if (!offers_subprotocol(request.subprotocols)) return {};
  return "\r\nSec-WebSocket-Protocol: " + std::string(kSubprotocol);
}

}  // namespace

HttpSession::HttpSession(Stream& stream, TransportCore& core, Peer peer,
                         ConnectionLimits::Place place)
    : stream_(stream),
      core_(core),
      peer_(std::move(peer)),
      place_(std::move(place)),
      parser_(core.options.max_body_bytes) {
  begin_request();
}

void HttpSession::begin_request() {
  timed_ = true;
  due_ = Clock::now() + core_.options.request_timeout;
  stream_.set_deadline(std::min(core_.options.header_timeout, core_.options.request_timeout));
}

void HttpSession::on_bytes(std::string& unread) {
  using Progress = HttpParser::Progress;
  while (state_ == State::kReading) {
    const Progress progress = parser_.parse(unread);
    if (received_ && !received_->grow_to(parser_.received())) {
      framing_.keep_alive = false;
      return send(busy(), ResponseFraming::Body::kLength);
    }
    if (progress == Progress::kMore) {
      if (farewell_) stream_.leave();
      if (parser_.begun() && !timed_) begin_request();
      return;
    }
    if (progress == Progress::kFault)
      return refuse(parser_.fault().status, parser_.fault().message);
    if (progress == Progress::kHead) on_head(!unread.empty());
    if (progress == Progress::kWhole) on_request();
  }
}

void HttpSession::on_head(bool body_begun) {
  const HttpParser::Head& head = parser_.head();
  HttpRequest& request = parser_.request();
  request.peer = peer_.address;
  request.client = peer_.client;
  request.secure = peer_.secure;
  if (const auto from = peer_.is_proxy ? core_.proxies.client_of(request) : std::nullopt) {
    request.peer = *from + " by " + peer_.address;
    request.client = client_of(*from);
  }
  begin_record();
  framing_ = {.http_1_1 = head.http_1_1,
              .keep_alive = head.keep_alive && !core_.draining,
              .request_id = request.request_id};
  head_only_ = request.method == "HEAD";
  auto elsewhere = leave_base_path(request);
  record_->path = request.path;
  if (elsewhere) {
    refusal_ = std::move(elsewhere);
  } else if (head.wants_websocket) {
    place_.keep();
    refusal_ = answer_handshake(request);
    record_->key = request.key;
    if (refusal_->status == 101) {
      state_ = State::kLeft;
      stream_.write(
          share("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Accept: " +
                accept_key(head.websocket_key) + subprotocol_line(request) +
                "\r\nX-Request-Id: " + request.request_id + "\r\n\r\n"));
      record_->status = refusal_->status;
      end_record();
      core_.open(stream_, request, std::move(place_));
      return;
    }
  } else if (!core_.survives([&] { refusal_ = core_.events->on_head(request); })) {
    refusal_ = refusal(500, "internal error");
  }
  record_->key = request.key;
  if (!head.has_body) return;
  if (!refusal_ && head.is_encoded) {
    refusal_ = refusal(415,
                       "the body is encoded, as Content-Encoding says: send it as it is, without "
                       "compression and this header");
  }
  if (!refusal_ && !core_.received.has_room(request.client, head.body_size)) refusal_ = busy();
  received_.emplace(core_.received, request.client);
  stream_.set_deadline(std::max(std::chrono::milliseconds(0),
                                std::chrono::ceil<std::chrono::milliseconds>(due_ - Clock::now())));
  if (refusal_) {
    framing_.keep_alive = false;
    send(*std::exchange(refusal_, std::nullopt), ResponseFraming::Body::kLength);
  } else if (head.expects_continue && !body_begun) {
    stream_.write(share("HTTP/1.1 100 Continue\r\n\r\n"));
  }
}

// Relative URLs of the page count from a final slash.
std::optional<HttpResponse> HttpSession::leave_base_path(HttpRequest& request) {
  const std::string& base = core_.options.base_path;
  if (base.empty() || request.path == "*") return std::nullopt;
  if (request.path == base) {
    return HttpResponse{308, {}, {}, {{"Location", base + "/"}}};
  }
  if (auto below = below_base_path(base, request.path)) {
    request.path = *std::move(below);
    return std::nullopt;
  }
  return refusal(404, "all paths begin with " + base + "/ here");
}

HttpResponse HttpSession::answer_handshake(HttpRequest& request) {
  if (const auto wrong = wrong_handshake(request, parser_.head())) {
    HttpResponse response = refusal(wrong->status, wrong->message);
    if (wrong->status == 426) {
      response.headers.insert(response.headers.end(),
                              {{"Upgrade", "websocket"}, {"Sec-WebSocket-Version", "13"}});
    }
    return response;
  }
  HttpResponse response;
  const bool well = core_.survives([&] { response = core_.events->on_upgrade(request); });
  return well ? response : refusal(500, "internal error");
}

HttpResponse HttpSession::refusal(int status, const std::string& why) {
  return core_.events->refusal(parser_.request(), status, why);
}

HttpResponse HttpSession::busy() {
  HttpResponse response = refusal(503, "too much is being sent to this server; try again");
  response.set_header("Retry-After", "1");
  response.reason = "busy";
  return response;
}

void HttpSession::on_request() {
  place_.keep();
  if (received_) parser_.request().memory = received_->take();
  received_.reset();
  timed_ = false;
  if (core_.options.response_timeout.count() > 0) {
    stream_.set_deadline(core_.options.response_timeout);
  } else {
    stream_.clear_deadline();
  }
  state_ = State::kAnswering;
  if (refusal_) return respond(*std::exchange(refusal_, std::nullopt));
  exchange_ = ++core_.last_id;
  core_.exchanges.emplace(exchange_, this);
  std::optional<HttpResponse> response;
  if (!core_.survives(
          [&] { response = core_.events->on_http(exchange_, std::move(parser_.request())); })) {
    response = refusal(500, "internal error");
  }
  if (response) respond(*std::move(response));
}

void HttpSession::respond(HttpResponse response) {
  if (state_ == State::kAnswering) send(std::move(response), ResponseFraming::Body::kLength);
}

void HttpSession::send(HttpResponse response, ResponseFraming::Body body) {
  framing_.body = body;
  if (record_) {
    record_->status = response.status;
    record_->reason = response.reason;
    record_->detail = response.detail;
  }
  const bool streamed = body != ResponseFraming::Body::kLength;
  state_ = streamed && !head_only_ ? State::kStreaming : State::kSending;
  std::string head = response_head(response, framing_);
  const bool bodiless = head_only_ || streamed;
  if (bodiless || response.body.size() <= kSmallBody) {
    if (!bodiless) head += response.body;
    stream_.write(share(std::move(head)));
  } else {
    stream_.write(share(std::move(head)));
    stream_.write(share(std::move(response.body)));
  }
}

void HttpSession::begin_response(const HttpResponse& response, StreamedBody body) {
  using Body = ResponseFraming::Body;
  if (state_ != State::kAnswering) return;
  const bool chunks = body == StreamedBody::kChunks && framing_.http_1_1;
  if (!chunks) framing_.keep_alive = false;
  send({response.status, response.content_type, {}, response.headers, {}},
       chunks ? Body::kChunks : Body::kUntilEnd);
  if (!response.body.empty()) add_to_response(share(response.body));
}

void HttpSession::add_to_response(SharedBytes piece) {
  static const SharedBytes kEnd = share("\r\n");
  if (state_ != State::kStreaming || piece->empty()) return;
  const bool chunk = framing_.body == ResponseFraming::Body::kChunks;
  if (chunk) stream_.write(share(chunk_head(piece->size())));
  stream_.write(std::move(piece));
  if (chunk) stream_.write(kEnd);
  if (stream_.unsent() > core_.options.max_unsent_bytes) stream_.cut();
}

void HttpSession::finish_response() {
  static const SharedBytes kLastChunk = share("0\r\n\r\n");
  if (state_ != State::kStreaming) return;
  state_ = State::kSending;
  if (framing_.body == ResponseFraming::Body::kChunks) stream_.write(kLastChunk);
  if (stream_.unsent() == 0) on_flushed();
}

void HttpSession::refuse(int status, const std::string& why) {
  if (!record_) {
    begin_record();
    framing_.request_id = record_->request_id;
  }
  framing_.keep_alive = false;
  send(refusal(status, why), ResponseFraming::Body::kLength);
}

void HttpSession::on_flushed() {
  if (state_ == State::kStreaming) {
    core_.survives([&] { core_.events->on_http_flushed(exchange_); });
  }
  if (state_ != State::kSending) return;
  const bool unwanted = head_only_ && framing_.body != ResponseFraming::Body::kLength;
  end_exchange(unwanted);
  end_record();
  place_.rest();
  if (!framing_.keep_alive || core_.draining) {
    state_ = State::kLeft;
    stream_.leave();
    return;
  }
  state_ = State::kReading;
  stream_.set_deadline(core_.options.keep_alive_timeout);
  stream_.resume();
}

void HttpSession::end_exchange(bool unwanted) {
  const ExchangeId id = std::exchange(exchange_, 0);
  core_.exchanges.erase(id);
  if (unwanted && id != 0) core_.survives([&] { core_.events->on_http_gone(id); });
}

void HttpSession::begin_record() {
  HttpRequest& request = parser_.request();
  request.request_id = core_.request_ids.choose(request.request_id);
  record_ = HttpExchange{.method = request.method,
                         .path = request.path,
                         .peer = request.peer.empty() ? peer_.address : request.peer,
                         .request_id = request.request_id,
                         .status = HttpExchange::kClientLeft};
  asked_ = Clock::now();
}

void HttpSession::end_record() {
  if (!record_) return;
  HttpExchange record = *std::exchange(record_, std::nullopt);
  record.seconds = std::chrono::duration<double>(Clock::now() - asked_).count();
  core_.survives([&] { core_.events->on_exchange(record); });
}

void HttpSession::on_farewell() {
  farewell_ = true;
  if (state_ == State::kReading) stream_.resume();  // whole requests are still answered
  if (state_ == State::kAnswering || state_ == State::kStreaming) stream_.cut();
}

void HttpSession::on_deadline() {
  if (state_ == State::kReading && parser_.begun()) {
    refuse(408, "the request did not come in time");
  } else if (state_ == State::kAnswering) {
    end_exchange(true);
    refuse(503, "the response took too long");
  } else {
    stream_.cut();
  }
}

void HttpSession::on_end(const std::string&) {
  state_ = State::kLeft;
  end_exchange(true);
  end_record();
}

}  // namespace fvlm::net
