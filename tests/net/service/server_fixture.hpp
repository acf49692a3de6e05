// The server with a small golden model behind it, for tests that see it from its clients' side of
// the socket.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "fvlm/engine.hpp"
#include "net/service/server.hpp"
#include "tests/support/cost.hpp"
#include "tests/support/raw_websocket.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/support/waiting.hpp"

namespace fvlm {

using nlohmann::json;

inline const std::filesystem::path kData = FVLM_TEST_DATA;

inline std::string jpeg() {
  return read_file(kData / "images" / "420.jpg");
}

// Takes requests and answers none, unless a test says more.
class IdleEngine : public Engine {
 public:
  PreparedImage prepare(ImageReader&) override { return {}; }
  RequestId submit(Request) override { return 1; }
  void cancel(RequestId) override {}
  void end_live(std::uint64_t) override {}
  EngineCounters counters() const override { return {}; }
  const EngineInfo& info() const override { return info_; }

 private:
  EngineInfo info_;
};

// Says that it has been at something for 10 s.
class HangingEngine final : public IdleEngine {
 public:
  EngineCounters counters() const override {
    EngineCounters counters;
    counters.step_s = 10;
    return counters;
  }
};

// Another engine, of which a test changes something.
class OtherEngine : public Engine {
 public:
  explicit OtherEngine(Engine& engine) : engine_(engine) {}
  PreparedImage prepare(ImageReader& reader) override { return engine_.prepare(reader); }
  RequestId submit(Request request) override { return engine_.submit(std::move(request)); }
  void cancel(RequestId id) override { engine_.cancel(id); }
  void end_live(std::uint64_t view) override { engine_.end_live(view); }
  EngineCounters counters() const override { return engine_.counters(); }
  const EngineInfo& info() const override { return engine_.info(); }

 private:
  Engine& engine_;
};

// Its answers last as long as answers of large models do.
class SlowEngine final : public OtherEngine {
 public:
  using OtherEngine::OtherEngine;
  RequestId submit(Request request) override {
    request.on_text = [say = std::move(request.on_text)](std::string_view text) {
      if (say) say(text);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    };
    return OtherEngine::submit(std::move(request));
  }
};

// Begins each answer, and ends none but those that are cancelled.
class EndlessEngine final : public OtherEngine {
 public:
  using OtherEngine::OtherEngine;
  RequestId submit(Request request) override {
    request.on_text("token");
    const std::lock_guard lock(mutex_);
    running_.emplace(++last_, std::move(request));
    return last_;
  }
  void cancel(RequestId id) override {
    const std::lock_guard lock(mutex_);
    const auto found = running_.extract(id);
    if (!found.empty())
      found.mapped().on_done(
          {.outcome = Outcome::kCancelled, .text = {}, .error = {}, .statistics = {}});
  }

 private:
  std::mutex mutex_;
  std::map<RequestId, Request> running_;
  RequestId last_ = 0;
};

class ServerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    EngineOptions options;
    options.model_path = kData / "golden" / "tiny" / "checkpoint";
    options.device = Device::kCpu;
    options.precision = Precision::kF32;
    options.threads = 1;
    engine_ = Engine::load(options);
  }
  static void TearDownTestSuite() { engine_.reset(); }

  void start(const net::ServerOptions& options = {}) { start(*engine_, options); }
  void start(Engine& engine, net::ServerOptions options) {
    options.transport.port = 0;
    server_ = std::make_unique<net::Server>(engine, options);
    thread_ = std::thread([this] { server_->run(); });
  }
  void start_slow(net::ServerOptions options) {
    start(*(other_ = std::make_unique<SlowEngine>(*engine_)), std::move(options));
  }
  void start_endless(net::ServerOptions options) {
    start(*(other_ = std::make_unique<EndlessEngine>(*engine_)), std::move(options));
  }
  void stop() {
    if (!server_) return;
    server_->drain(std::chrono::milliseconds(0));
    if (thread_.joinable()) thread_.join();
    server_.reset();
  }
  ~ServerTest() override { stop(); }
  std::uint16_t port() const { return server_->port(); }

  // The next message, as an object; empty at the end of the connection.
  static json next(RawWebSocket& socket) { return json::parse(socket.next_text(), nullptr, false); }
  // What follows the tokens of an answer.
  static json next_but_tokens(RawWebSocket& socket) {
    json message = next(socket);
    while (message["type"] == "token") message = next(socket);
    return message;
  }
  static void configure(RawWebSocket& socket, json settings) {
    settings["type"] = "configure";
    socket.send(RawWebSocket::kText, settings.dump());
  }

  double metric(const std::string& name) const {
    const std::string text = http_get(port(), "/metrics");
    const std::string line = "\n" + name + " ";
    const std::size_t at = text.find(line);
    return at == text.npos ? -1 : std::stod(text.substr(at + line.size()));
  }
  // Fails the test if it does not come to be within a while. `headers` show a key.
  void await_metric(const std::string& line, const std::string& headers = {}) const {
    EXPECT_TRUE(wait_for([&] { return contains(http_get(port(), "/metrics", headers), line); }))
        << line << http_get(port(), "/metrics", headers);
  }

  static inline std::unique_ptr<Engine> engine_;
  std::unique_ptr<Engine> other_;
  std::unique_ptr<net::Server> server_;
  std::thread thread_;
};

}  // namespace fvlm
