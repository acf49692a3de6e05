// The bytes of one connection, both ways: reads them ahead, queues what is written, keeps
// deadlines, and closes so that what was written arrives. A Session makes sense of them: HTTP
// first, then perhaps a WebSocket. All on the thread of the event loop.
#pragma once

#include <array>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/http/http.hpp"
#include "net/http/socket.hpp"

namespace fvlm::net {

class Stream : public std::enable_shared_from_this<Stream> {
 public:
  // All are called from the event loop, never inside a call to Stream.
  class Session {
   public:
    virtual ~Session() = default;
    // Hands are shaken: what is written goes out.
    virtual void on_connected() {}
    // Takes what it can from the front of `unread`. What it leaves comes again with more, or with
    // resume(); beyond kMostUnread nothing is read.
    virtual void on_bytes(std::string& unread) = 0;
    // The other side sends nothing more, and may still read.
    virtual void on_farewell() = 0;
    // All that was written is with the kernel.
    virtual void on_flushed() = 0;
    virtual void on_deadline() = 0;
    // The connection has ended, by an error if `why` is not empty; the last call.
    virtual void on_end(const std::string& why) = 0;
  };
  static constexpr std::size_t kMostUnread = std::size_t{64} << 10;
  // How long the other side is waited for once we have said farewell.
  static constexpr std::chrono::milliseconds kLongestFarewell{2000};

  // `stall_timeout`: of one write, in which the other side takes nothing.
  Stream(std::unique_ptr<Socket> socket, std::chrono::milliseconds stall_timeout);

  // Shakes hands, then reads.
  void start(std::shared_ptr<Session> session);
  // In place of the one before, from the next bytes on.
  void set_session(std::shared_ptr<Session> session) { session_ = std::move(session); }
  // Gives unread bytes to the session anew, soon.
  void resume();
  void write(SharedBytes bytes);
  std::size_t unsent() const { return unsent_; }

  // The one deadline: a new one takes the place of the last.
  void set_deadline(std::chrono::milliseconds time);
  void clear_deadline() { deadline_ = Clock::time_point::max(); }

  // Sends what is queued, says farewell, and ends when the other side has done so, too, or after a
  // while. Until then its bytes are discarded: closing on unread ones would destroy the last
  // answer on its way.
  void leave();
  // Ends at once.
  void cut(const std::string& why = {});

 private:
  using Clock = std::chrono::steady_clock;

  void read();
  void on_read(const error_code& error, std::size_t size);
  void deliver();
  void write_more();
  void on_written(const error_code& error, std::size_t size);
  void say_farewell();
  void arm();
  void on_timer();

  std::unique_ptr<Socket> socket_;
  std::shared_ptr<Session> session_{};
  std::chrono::milliseconds stall_timeout_;
  asio::steady_timer timer_;
  Clock::time_point armed_ = Clock::time_point::max();
  Clock::time_point deadline_ = Clock::time_point::max();
  Clock::time_point stalled_ = Clock::time_point::max();  // when the write has lasted too long
  std::vector<char> block_;
  std::string unread_;
  std::deque<SharedBytes> queue_;
  std::size_t unsent_ = 0;      // bytes in the queue
  std::size_t first_sent_ = 0;  // of its first piece, bytes that are sent
  bool reading_ = false;
  bool writing_ = false;
  bool all_read_ = false;
  bool leaving_ = false;
  bool ended_ = false;
};

}  // namespace fvlm::net
