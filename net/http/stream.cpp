#include "net/http/stream.hpp"

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/error.hpp>
#include <utility>

namespace fvlm::net {
namespace {

constexpr std::size_t kSmallBlock = std::size_t{4} << 10;
constexpr std::size_t kLargeBlock = std::size_t{64} << 10;
constexpr std::size_t kMostPieces = 16;  // of one write

}  // namespace

Stream::Stream(std::unique_ptr<Socket> socket, std::chrono::milliseconds stall_timeout)
    : socket_(std::move(socket)),
      stall_timeout_(stall_timeout),
      timer_(socket_->tcp().get_executor()),
      block_(kSmallBlock) {}

void Stream::start(std::shared_ptr<Session> session) {
  session_ = std::move(session);
  socket_->shake_hands([self = shared_from_this()](const error_code& error, std::size_t) {
    if (error) return self->cut(error.message());
    if (self->ended_) return;
    self->session_->on_connected();
    self->read();
  });
}

void Stream::read() {
  if (reading_ || all_read_ || ended_) return;
  if (!leaving_ && unread_.size() >= kMostUnread) return;
  reading_ = true;
  socket_->read_some(asio::buffer(block_),
                     [self = shared_from_this()](const error_code& error, std::size_t size) {
                       self->on_read(error, size);
                     });
}

void Stream::on_read(const error_code& error, std::size_t size) {
  reading_ = false;
  if (ended_) return;
  if (error) {
    all_read_ = true;
    const bool farewell = error == asio::error::eof;
    if (!farewell || leaving_) return cut(error.message());
    return session_->on_farewell();
  }
  if (leaving_) return read();
  unread_.append(block_.data(), size);
  if (size == block_.size() && size < kLargeBlock) block_.resize(kLargeBlock);
  deliver();
}

void Stream::deliver() {
  while (!ended_ && !leaving_) {
    const auto session = session_;  // it may put another in its place
    session->on_bytes(unread_);
    if (session == session_) break;
  }
  read();
}

void Stream::resume() {
  asio::post(timer_.get_executor(), [self = shared_from_this()] { self->deliver(); });
}

void Stream::write(SharedBytes bytes) {
  if (ended_ || leaving_ || bytes->empty()) return;
  unsent_ += bytes->size();
  queue_.push_back(std::move(bytes));
  write_more();
}

void Stream::write_more() {
  if (writing_ || queue_.empty()) return;
  writing_ = true;
  std::vector<asio::const_buffer> buffers;
  for (const SharedBytes& piece : queue_) {
    buffers.push_back(asio::buffer(*piece));
    if (buffers.size() == kMostPieces) break;
  }
  buffers.front() += first_sent_;
  stalled_ = Clock::now() + stall_timeout_;
  arm();
  socket_->write_some(buffers,
                      [self = shared_from_this()](const error_code& error, std::size_t size) {
                        self->on_written(error, size);
                      });
}

void Stream::on_written(const error_code& error, std::size_t size) {
  writing_ = false;
  stalled_ = Clock::time_point::max();
  if (ended_) return;
  if (error) return cut(error.message());
  unsent_ -= size;
  first_sent_ += size;
  while (!queue_.empty() && first_sent_ >= queue_.front()->size()) {
    first_sent_ -= queue_.front()->size();
    queue_.pop_front();
  }
  if (!queue_.empty()) {
    write_more();
  } else if (leaving_) {
    say_farewell();
  } else {
    session_->on_flushed();
  }
}

void Stream::leave() {
  if (ended_ || std::exchange(leaving_, true)) return;
  set_deadline(stall_timeout_);
  if (queue_.empty()) say_farewell();
  read();
}

void Stream::say_farewell() {
  if (all_read_) return cut();
  set_deadline(kLongestFarewell);
  socket_->say_farewell([self = shared_from_this()](const error_code&, std::size_t) {});
}

void Stream::cut(const std::string& why) {
  if (std::exchange(ended_, true)) return;
  timer_.cancel();
  error_code ignored;  // it is closed
  socket_->tcp().close(ignored);
  asio::post(timer_.get_executor(), [self = shared_from_this(), why] {
    std::exchange(self->session_, nullptr)->on_end(why);
  });
}

void Stream::set_deadline(std::chrono::milliseconds time) {
  deadline_ = Clock::now() + time;
  arm();
}

// The timer is set again only for an earlier time: at a later one it looks again.
void Stream::arm() {
  const Clock::time_point next = std::min(deadline_, stalled_);
  if (ended_ || next >= armed_) return;
  armed_ = next;
  timer_.expires_at(next);
  timer_.async_wait([self = shared_from_this()](const error_code& error) {
    if (!error) self->on_timer();
  });
}

void Stream::on_timer() {
  armed_ = Clock::time_point::max();
  if (ended_) return;
  const Clock::time_point now = Clock::now();
  if (stalled_ <= now) return cut("the other side takes nothing");
  if (deadline_ <= now) {
    if (leaving_) return cut();
    clear_deadline();
    session_->on_deadline();
  }
  arm();
}

}  // namespace fvlm::net
