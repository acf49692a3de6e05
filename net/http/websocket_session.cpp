#include "net/http/websocket_session.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

namespace fvlm::net {

WebSocketSession::WebSocketSession(Stream& stream, Options options, std::unique_ptr<Events> events)
    : stream_(stream),
      options_(std::move(options)),
      events_(std::move(events)),
      reader_(options_.side, options_.max_message_bytes) {
  stream_.set_deadline(options_.idle_timeout);
}

void WebSocketSession::send(Opcode opcode, const SharedBytes& payload) {
  if (closing_) return;
  send_frame(opcode, payload);
  count_message(payload->size());
}

void WebSocketSession::send(Opcode opcode, std::span<const std::string_view> pieces) {
  if (closing_) return;
  std::string frame = assemble(opcode, pieces);
  const std::size_t size = frame.size();
  stream_.write(share(std::move(frame)));
  count_message(size);
}

// A client's payload is masked in a copy: others may be sending it, too.
void WebSocketSession::send_frame(Opcode opcode, const SharedBytes& payload) {
  if (options_.side == Side::kClient) {
    const std::string_view piece = *payload;
    return stream_.write(share(assemble(opcode, {&piece, 1})));
  }
  stream_.write(share(frame_head(opcode, payload->size())));
  stream_.write(payload);
}

std::string WebSocketSession::assemble(Opcode opcode, std::span<const std::string_view> pieces) {
  std::size_t size = 0;
  for (const std::string_view piece : pieces) size += piece.size();
  std::optional<std::uint32_t> mask;
  if (options_.side == Side::kClient) mask = random_mask();
  std::string frame = frame_head(opcode, size, mask);
  const std::size_t head = frame.size();
  frame.reserve(head + size);
  for (const std::string_view piece : pieces) frame += piece;
  if (mask) apply_mask(*mask, frame.data() + head, size);
  return frame;
}

void WebSocketSession::count_message(std::size_t bytes) {
  if (count_sent(bytes) && unacknowledged() > options_.max_unsent_bytes / 4 && !probing_) probe();
}

bool WebSocketSession::count_sent(std::size_t bytes) {
  constexpr std::size_t kOverhead = 128;  // of a message that waits, in memory
  sent_ += bytes + kOverhead;
  if (unacknowledged() <= options_.max_unsent_bytes) return true;
  close({close_code::kOverload, "messages are not read fast enough"});
  return false;
}

void WebSocketSession::send_ping(char kind, const std::string& payload) {
  if (!closing_) send_frame(Opcode::kPing, share(kind + payload));
}

void WebSocketSession::probe() {
  probing_ = true;
  send_ping(kProbe, std::to_string(sent_));
}

void WebSocketSession::close(const Closing& closing) {
  if (closing_) return;
  send_frame(Opcode::kClose, share(close_payload(closing)));
  closing_ = true;
  stream_.set_deadline(Stream::kLongestFarewell);
}

void WebSocketSession::leave(const Closing& closing) {
  close(closing);
  left_ = true;
  stream_.leave();
  tell_closed();
}

void WebSocketSession::on_end(const std::string& why) {
  why_ = why;
  tell_closed();
}

void WebSocketSession::tell_closed() {
  if (!std::exchange(told_, true)) events_->on_closed(why_);
}

void WebSocketSession::on_bytes(std::string& unread) {
  std::string_view rest = unread;
  while (!left_) {
    FrameReader::Result result = reader_.next(rest);
    if (auto* message = std::get_if<FrameReader::Message>(&result)) {
      take(std::move(*message));
    } else if (auto* fault = std::get_if<FrameReader::Fault>(&result)) {
      why_ = fault->reason;
      leave(*fault);
    } else {
      break;
    }
  }
  unread.erase(0, unread.size() - rest.size());
  if (!left_ && !may_receive()) {
    leave({close_code::kOverload, "messages of too many bytes are being sent at a time"});
  }
}

bool WebSocketSession::may_receive() {
  if (!options_.received) return true;
  if (reader_.buffered() == 0) options_.received->take();
  return options_.received->grow_to(reader_.buffered());
}

void WebSocketSession::take(FrameReader::Message message) {
  if (message.opcode == Opcode::kClose) return take_close(message.payload);
  if (closing_) return;
  stream_.set_deadline(options_.idle_timeout);
  switch (message.opcode) {
    case Opcode::kPing:
      if (count_sent(message.payload.size())) {
        send_frame(Opcode::kPong, share(std::move(message.payload)));
      }
      break;
    case Opcode::kPong:
      take_pong(message.payload);
      break;
    default:
      events_->on_message(std::move(message.payload), message.opcode == Opcode::kBinary);
  }
}

void WebSocketSession::take_pong(const std::string& payload) {
  if (payload.empty()) return;
  if (payload[0] == kOfUser) return events_->on_pong(payload.substr(1));
  std::uint64_t acknowledged = 0;
  const char* const end = payload.data() + payload.size();
  const auto [rest, error] = std::from_chars(payload.data() + 1, end, acknowledged);
  if (payload[0] != kProbe || error != std::errc{} || rest != end || acknowledged > sent_) return;
  acknowledged_ = std::max(acknowledged_, acknowledged);
  probing_ = false;
}

void WebSocketSession::take_close(const std::string& payload) {
  const auto closing = read_close_payload(payload);
  if (!closing) return leave({close_code::kProtocolError, "a close frame is wrong"});
  why_ = closing->reason;
  leave({closing->code, ""});
}

}  // namespace fvlm::net
