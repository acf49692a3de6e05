// Cameras and pages: each WebSocket is a live view whose frames are described one after the other.
// Clients that send "configure" get the newest frame described, the original system's clients get
// one answer for each. For the transport's thread; other threads decode images and the engine's
// thread runs callbacks: both post to the first.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fvlm/engine.hpp"
#include "net/http/key_limiter.hpp"
#include "net/http/memory_budget.hpp"
#include "net/http/quota.hpp"
#include "net/http/transport.hpp"
#include "net/protocol/messages.hpp"
#include "net/service/inbox.hpp"
#include "net/service/metrics.hpp"
#include "net/service/picture_pool.hpp"
#include "net/service/reporting.hpp"

namespace fvlm::net {

struct LiveOptions {
  std::string prompt = "用简短的语言描述图片内容";
  std::int64_t max_new_tokens = 256;
  std::size_t max_waiting_frames = 8;  // queue of one client that sends ahead of its answers
  std::size_t max_waiting_bytes = std::size_t{256} << 20;  // queued JPEGs of all clients
  // Of one address, which may have several clients.
  std::size_t max_waiting_frames_per_address = 256;
  std::size_t max_waiting_bytes_per_address = 0;  // of max_waiting_bytes; 0: a quarter
  bool drafts = true;                             // speculative decoding: LiveView::draft
  double unchanged_below = 0;  // LiveView::unchanged_below, unless the client says
};

class LiveService {
 public:
  LiveService(Engine& engine, Transport& transport, std::shared_ptr<Inbox> inbox,
              PicturePool& pictures, Metrics& metrics, KeyLimiter& key_limits, Reporting reporting,
              LiveOptions options);
  // Cancels running requests.
  ~LiveService();
  LiveService(const LiveService&) = delete;
  LiveService& operator=(const LiveService&) = delete;

  void open(ConnectionId id, const HttpRequest& request);
  void receive(ConnectionId id, std::string payload, bool binary);
  void close(ConnectionId id);
  // From now on new frames are answered with an error.
  void drain() { draining_ = true; }
  // Ends the description of frames, queued ones included, and tells their clients why.
  void cut();
  // Other limits from now on; prompt and length of answers for clients that come.
  void set(const LiveOptions& options);

  std::int64_t connections() const { return static_cast<std::int64_t>(clients_.size()); }
  std::int64_t waiting() const;  // queued frames
  std::int64_t running() const;  // frames being decoded or described

 private:
  using Clock = std::chrono::steady_clock;
  struct Frame {
    std::int64_t id = 0;
    std::string file{};
    Clock::time_point arrived{};
    Quota::Lease place{};  // one of the queued frames of its address
    Quota::Lease bytes{};  // their bytes, like the next
    MemoryBudget::Lease memory{};
    KeyLimiter::Lease place_of_key{};
  };
  // The frame being described.
  struct Current {
    std::int64_t frame_id = 0;
    Clock::time_point arrived{};
    std::shared_ptr<const void> wanted{};  // its picture, as long as this exists
    std::optional<RequestId> request{};    // once that is decoded
    Clock::time_point submitted{};         // then
    std::int64_t warnings = 0;             // PreparedImage::warnings
  };
  struct Client {
    std::string peer{};
    std::string handshake{};  // the id of the request that opened the connection
    std::string key{};        // by its name
    KeyLimiter::Lease stream_of_key{};
    std::string address{};    // HttpRequest::client, of which there may be several connections
    bool configured = false;  // it has sent "configure": our protocol, not the original's
    bool stream = false;
    std::string prompt{};
    bool gave_prompt = false;  // else the prompt is the server's
    std::int64_t max_new_tokens = 0;
    double temperature = 0;
    double unchanged_below = 0;
    std::optional<std::string> request_id{};
    std::int64_t frames = 0;
    std::deque<Frame> waiting{};
    std::optional<Current> current{};
  };

  void take_frame(ConnectionId id, Client& client, std::string file);
  // Refuses the newest frame. Answers without a number must keep their order.
  void refuse(ConnectionId id, const Client& client, const std::string& code,
              const std::string& why);
  void take_text(ConnectionId id, Client& client, const std::string& text);
  void refuse_text(ConnectionId id, const std::string& why);
  void configure(ConnectionId id, Client& client, const protocol::Configure& message);
  void cancel(ConnectionId id, Client& client);
  void begin_next(ConnectionId id, Client& client);
  void on_prepared(ConnectionId id, std::int64_t frame_id, PicturePool::Prepared prepared);
  void describe(ConnectionId id, std::int64_t frame_id, std::vector<PreparedImage> pictures);
  void on_text(ConnectionId id, std::int64_t frame_id, const std::string& text);
  void on_done(ConnectionId id, std::int64_t frame_id, const Result& result);
  void send_description(ConnectionId id, const Client& client, const Current& current,
                        const Result& result);
  // Answers a frame that is not described, then goes on with the next.
  void fail(ConnectionId id, std::int64_t frame_id, const std::string& code,
            const std::string& why);
  void log(LogLevel level, const Client& client, const std::string& line) const;
  static LogFields fields_of(const Client& client);
  // The client whose frame is still the one being described.
  Client* client_at(ConnectionId id, std::int64_t frame_id);

  Engine& engine_;
  Transport& transport_;
  std::shared_ptr<Inbox> inbox_;
  PicturePool& pictures_;
  Metrics& metrics_;
  KeyLimiter& key_limits_;
  Reporting reporting_;
  LiveOptions options_;
  Quota frames_;         // queued, of each address
  Quota bytes_;          // their bytes
  MemoryBudget memory_;  // those of all addresses
  std::map<ConnectionId, Client> clients_;
  bool draining_ = false;
};

}  // namespace fvlm::net
