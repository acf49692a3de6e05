// The server: cameras and pages send frames over WebSocket, the engine describes them, texts go
// back. One thread carries all traffic and all state here; pictures are decoded by others, and
// the engine's callbacks come from its own: both post what they have to the first.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "net/messages.hpp"
#include "net/metrics.hpp"
#include "net/transport.hpp"
#include "net/workers.hpp"
#include "runtime/engine.hpp"

namespace fvlm::net {

struct ServerOptions {
  TransportOptions transport{};
  std::string prompt = "用简短的语言描述图片内容";
  std::int64_t max_new_tokens = 256;
  std::string api_key{};                       // empty: none is asked for
  std::vector<std::string> allowed_origins{};  // of browsers, besides this server's own pages
  bool open_to_all = false;                    // listen beyond loopback without a key
  std::size_t max_waiting_frames = 8;          // of one client that does not wait for its answers
  int decoders = 2;                            // threads that decode pictures
  // Told what happens: connections, frames, answers.
  std::function<void(const std::string& line)> log{};
};

class Server final : private TransportEvents {
 public:
  using Clock = std::chrono::steady_clock;

  // Begins to listen. Throws Error if it cannot, or if the options would let anybody in.
  Server(Engine& engine, ServerOptions options);
  ~Server() override;

  std::uint16_t port() const { return transport_->port(); }
  // Serves until the end of drain().
  void run();
  // Refuses what is new, finishes what is begun within `patience`, and ends run(). Safe from any
  // thread and from several at once.
  void drain(std::chrono::milliseconds patience);

 private:
  // Where other threads leave work for the server's, as long as it lives: the engine may still have
  // something to say afterwards.
  class Inbox {
   public:
    explicit Inbox(Transport& transport) : transport_(&transport) {}
    void post(std::function<void()> work) {
      const std::lock_guard lock(mutex_);
      if (transport_ != nullptr) transport_->post(std::move(work));
    }
    void close() {
      const std::lock_guard lock(mutex_);
      transport_ = nullptr;
    }

   private:
    std::mutex mutex_;
    Transport* transport_;
  };
  struct Frame {
    std::int64_t id = 0;
    std::string bytes{};
    Clock::time_point arrived{};
  };
  // What is being described.
  struct Current {
    std::int64_t frame_id = 0;
    Clock::time_point arrived{};
    std::optional<RequestId> request{};  // once its picture is decoded
    Clock::time_point submitted{};       // then
  };
  struct Client {
    std::string peer{};
    bool configured = false;  // it has sent "configure": it gets more than descriptions
    bool stream = false;
    std::string prompt{};
    std::int64_t max_new_tokens = 0;
    double temperature = 0;
    std::string request_id{};
    std::int64_t frames = 0;
    std::deque<Frame> waiting{};
    std::optional<Current> current{};
  };

  HttpResponse on_upgrade(const HttpRequest& request) override;
  void on_open(ConnectionId id, const HttpRequest& request) override;
  void on_message(ConnectionId id, std::string payload, bool binary) override;
  void on_close(ConnectionId id) override;
  HttpResponse on_http(const HttpRequest& request) override;

  // The refusal of a request from elsewhere or without the key, if it is one.
  std::optional<HttpResponse> refusal(const HttpRequest& request) const;

  void take_frame(ConnectionId id, Client& client, std::string bytes);
  void take_text(ConnectionId id, Client& client, const std::string& text);
  void configure(ConnectionId id, Client& client, const Configure& message);
  void cancel(ConnectionId id, Client& client);
  void begin_next(ConnectionId id, Client& client);
  void describe(ConnectionId id, std::int64_t frame_id, Image image);
  void on_text(ConnectionId id, std::int64_t frame_id, const std::string& text);
  void on_done(ConnectionId id, std::int64_t frame_id, const Result& result);
  void fail(ConnectionId id, Client& client, std::int64_t frame_id, const std::string& code,
            const std::string& why);
  // The client whose frame is still the one being described.
  Client* client_at(ConnectionId id, std::int64_t frame_id);
  void finish_if_drained();
  void log(const std::string& line) const;

  Engine& engine_;
  ServerOptions options_;
  std::unique_ptr<Transport> transport_;
  std::shared_ptr<Inbox> inbox_;
  Workers workers_;
  std::map<ConnectionId, Client> clients_;
  Metrics metrics_;
  std::optional<Clock::time_point> drain_until_;
};

}  // namespace fvlm::net
