// What operators see of the server, and what they change while it runs: ids of requests, the log,
// keys with limits, settings that are read again, the end.
#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "net/http/one_line.hpp"
#include "tests/net/service/server_fixture.hpp"

namespace fvlm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string field_of(const std::string& response, const std::string& name) {
  const std::string head = response.substr(0, response.find("\r\n\r\n")) + "\r\n";
  const std::size_t at = head.find("\r\n" + name + ": ");
  if (at == head.npos) return {};
  const std::size_t begin = at + name.size() + 4;
  return head.substr(begin, head.find("\r\n", begin) - begin);
}

class ServerOperation : public ServerTest {
 protected:
  ~ServerOperation() override { stop(); }  // it writes lines

  struct Line {
    net::LogLevel level{};
    std::string text{};
    std::string client{};
    std::string request_id{};
    std::string key{};
  };

  net::Log log() {
    return [this](net::LogLevel level, const std::string& text, const net::LogFields& fields) {
      const std::lock_guard lock(mutex_);
      lines_.push_back({level, text, std::string(fields.client), std::string(fields.request_id),
                        std::string(fields.key)});
    };
  }
  // The first line with `part` in it, once it is there.
  Line line_with(const std::string& part) {
    const auto deadline = std::chrono::steady_clock::now() + seconds(20);
    while (std::chrono::steady_clock::now() < deadline) {
      {
        const std::lock_guard lock(mutex_);
        for (const Line& line : lines_) {
          if (contains(line.text, part)) return line;
        }
      }
      std::this_thread::sleep_for(milliseconds(5));
    }
    ADD_FAILURE() << "no line of the log has: " << part;
    return {};
  }
  bool has_line(const std::string& part) {
    const std::lock_guard lock(mutex_);
    return std::any_of(lines_.begin(), lines_.end(),
                       [&](const Line& line) { return contains(line.text, part); });
  }
  std::string chat(const std::string& headers = "", bool stream = false,
                   std::int64_t tokens = 2) const {
    return http(port(), chat_request(headers, stream, tokens));
  }
  static std::string chat_request(const std::string& headers, bool stream, std::int64_t tokens) {
    const std::string body = json{{"model", "checkpoint"},
                                  {"max_tokens", tokens},
                                  {"stream", stream},
                                  {"messages", {{{"role", "user"}, {"content", "hello"}}}}}
                                 .dump();
    return "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n" + headers +
           fmt::format("Content-Length: {}\r\n\r\n", body.size()) + body;
  }
  static net::ApiKey key(const std::string& name, const net::KeyLimits& limits = {}) {
    return {.name = name, .digest = net::digest_of("key of " + name), .limits = limits};
  }
  static std::string bearer(const std::string& name) {
    return "Authorization: Bearer key of " + name + "\r\n";
  }

 private:
  std::mutex mutex_;
  std::vector<Line> lines_;
};

TEST_F(ServerOperation, EveryResponseCarriesTheIdOfItsRequest) {
  start({.chat = {.max_new_tokens = 2}});
  const std::string upgrade =
      "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  std::set<std::string> ids;
  const std::vector<std::string> requests = {
      "GET / HTTP/1.1\r\nHost: localhost\r\n",
      "HEAD /livez HTTP/1.1\r\nHost: localhost\r\n",
      "GET /nothing HTTP/1.1\r\nHost: localhost\r\n",
      "GET / HTTP/1.1\r\nHost: evil.example\r\n",
      "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n",
      "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n",
      "GET / HTTP/1.1\r\nHost: localhost\r\nX : y\r\n",
      "rubbish\r\n",
      "GET /ws HTTP/1.1\r\nHost: localhost\r\n" + upgrade,
      "GET /other HTTP/1.1\r\nHost: localhost\r\n" + upgrade};
  for (const std::string& request : requests) {
    RawSocket client(port());
    client.send(request + "\r\n");
    const std::string id = field_of(client.read_until("\r\n\r\n"), "X-Request-Id");
    EXPECT_TRUE(ids.insert(id).second && id.size() > 10) << request << " -> " << id;
  }
  for (const bool stream : {false, true}) {
    const std::string id = field_of(chat("", stream), "X-Request-Id");
    EXPECT_TRUE(ids.insert(id).second && id.size() > 10) << id;
    EXPECT_EQ(field_of(chat("X-Request-Id: mine-1\r\n", stream), "X-Request-Id"), "mine-1");
  }
  EXPECT_EQ(field_of(http_get(port(), "/nothing", "x-request-id: a.b:c\r\n"), "X-Request-Id"),
            "a.b:c");
  EXPECT_NE(field_of(http_get(port(), "/", "X-Request-Id: a b\r\n"), "X-Request-Id"), "a b");
  // Two of one connection are two.
  RawSocket client(port());
  std::vector<std::string> two;
  for (int i = 0; i < 2; ++i) {
    client.send("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
    two.push_back(field_of(read_response(client), "X-Request-Id"));
  }
  EXPECT_NE(two[0], two[1]);
}

TEST_F(ServerOperation, NoFieldOfAResponseIsThereTwice) {
  start({.transport = {.max_body_bytes = 1000},
         .access = {.keys = {key("slow", {.requests_per_minute = 1}), key("a")},
                    .free_wrong_keys = 1,
                    .allowed_origins = {"https://a.example"}}});
  const std::string a = bearer("a");
  const std::string origin = "Origin: https://a.example\r\n";
  std::vector<std::string> responses = {chat(bearer("slow")), chat(bearer("slow")),
                                        chat(bearer("slow") + origin)};
  for (const std::string& headers :
       {std::string(), a, a + origin, "X-Request-Id: 1\r\nX-Request-Id: 2\r\n" + a,
        std::string("Authorization: Bearer x\r\n"), std::string("Authorization: Bearer y\r\n"),
        std::string("Authorization: Bearer z\r\n")}) {
    const char* from = contains(headers, "Bearer k") ? kSelf : kOther;
    for (const char* path : {"/", "/ws", "/livez", "/v1/models", "/v1/nothing", "/metrics"}) {
      responses.push_back(http_get(port(), path, headers, from));
      responses.push_back(http(port(),
                               "POST " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n" +
                                   headers + "Content-Length: 1001\r\n\r\n",
                               from));
      responses.push_back(http(
          port(),
          "OPTIONS " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n",
          from));
    }
  }
  std::set<int> statuses;
  for (const std::string& response : responses) {
    statuses.insert(status_of(response));
    const std::string head = response.substr(0, response.find("\r\n\r\n"));
    std::set<std::string> names;
    for (std::size_t at = head.find("\r\n"); at != head.npos; at = head.find("\r\n", at + 2)) {
      const std::string name = head.substr(at + 2, head.find(':', at) - at - 2);
      if (name != "Vary") {
        EXPECT_TRUE(names.insert(name).second) << response;
      }
    }
  }
  for (const int status : {200, 204, 401, 404, 413, 426, 429}) {
    EXPECT_TRUE(statuses.contains(status)) << status;
  }
}

TEST_F(ServerOperation, TheLogHasWhoWasRefusedAndWhatForWithTheRequestsId) {
  start({.transport = {.max_body_bytes = 1000}, .access = {.keys = {key("garage")}}, .log = log()});
  struct Case {
    std::string request;
    std::string part;
    std::string key;
  };
  const std::string local = " HTTP/1.1\r\nHost: localhost\r\n";
  int number = 0;
  for (const auto& [request, part, name] : std::vector<Case>{
           {"GET /livez" + local, "GET /livez: 401 ", ""},
           {"GET /livez" + local + "Authorization: Bearer x\r\n", "gave a wrong key", ""},
           {"GET /metrics" + local + "Origin: https://evil.example\r\n", "GET /metrics: 403 ", ""},
           {"POST /big" + local + bearer("garage") + "Content-Length: 1001\r\n", "POST /big: 413 ",
            ""},
           {"GET /nothing" + local + bearer("garage"), "GET /nothing: 404 ", "garage"},
           {"GET /ws" + local, "GET /ws: 401 ", ""},
           {"POST /v1/chat/completions" + local + bearer("garage") + "Content-Length: 0\r\n",
            "POST /v1/chat/completions: 400 ", "garage"}}) {
    const std::string id = fmt::format("id-{}", ++number);
    http(port(), request + "Connection: close\r\nX-Request-Id: " + id + "\r\n\r\n");
    const Line line = line_with(part);
    EXPECT_EQ(line.request_id, id) << line.text;
    EXPECT_EQ(line.key, name) << line.text;
    EXPECT_TRUE(line.client.starts_with("127.0.0.1:")) << line.client;
    EXPECT_TRUE(contains(line.text, line.client)) << line.text;
    EXPECT_GE(line.level, net::LogLevel::kInfo) << line.text;
  }
  EXPECT_TRUE(contains(line_with("POST /v1/chat/completions: 400 ").text, "must be a JSON object"));
  http_get(port(), "/livez", bearer("garage"));
  EXPECT_EQ(line_with("GET /livez: 200 ").level, net::LogLevel::kDebug);
}

TEST_F(ServerOperation, AnswersAreLoggedOnlyIfThatIsWanted) {
  for (const bool wanted : {false, true}) {
    start({.live = {.max_new_tokens = 8}, .log = log(), .log_answers = wanted});
    RawWebSocket camera(port(), "X-Request-Id: camera-1\r\n");
    camera.send(RawWebSocket::kBinary, jpeg());
    const std::string content = next(camera)["content"];
    ASSERT_FALSE(content.empty());
    const std::string answer = json::parse(
        body_of(chat("X-Request-Id: chat-1\r\n", false, 8)))["choices"][0]["message"]["content"];
    stop();
    EXPECT_EQ(has_line(" ms: " + net::one_line(content, 100)), wanted);
    EXPECT_EQ(has_line(" ms: " + net::one_line(answer, 100)), wanted);
  }
  const Line frame = line_with("📤 127.0.0.1:");
  EXPECT_TRUE(contains(frame.text, " tokens, ")) << frame.text;
  EXPECT_EQ(frame.request_id, "camera-1");
  EXPECT_EQ(line_with("/v1/chat/completions 2 ✨").request_id, "chat-1");
}

TEST_F(ServerOperation, WhatIsSlowIsLogged) {
  start_slow({.live = {.max_new_tokens = 8}, .log = log(), .slow = milliseconds(1)});
  chat("X-Request-Id: slow-1\r\n", false, 50);
  const Line line = line_with(", slow");
  EXPECT_EQ(line.level, net::LogLevel::kWarning);
  EXPECT_EQ(line.request_id, "slow-1");
  RawWebSocket camera(port());
  camera.send(RawWebSocket::kBinary, jpeg());
  next(camera);
  EXPECT_EQ(line_with("frame 1: ").level, net::LogLevel::kWarning);
}

TEST_F(ServerOperation, EachKeyHasItsLimits) {
  start_endless({.access = {.keys = {key("a", {.requests_per_minute = 2, .streams = 1}),
                                     key("b", {.requests_per_minute = 3, .waiting_frames = 1})}}});
  {
    const RawWebSocket camera(port(), bearer("a"));
    EXPECT_THROW(RawWebSocket(port(), bearer("a")), std::runtime_error);
    const std::string refused = chat(bearer("a"));
    EXPECT_EQ(status_of(refused), 429) << "a WebSocket is a stream, too";
    EXPECT_TRUE(contains(refused, "as many streams as it may have")) << refused;
    EXPECT_NO_THROW(RawWebSocket(port(), bearer("b")));
  }
  await_metric("fastvlm_connections 0\n", bearer("b"));
  for (int i = 0; i < 2; ++i) {
    RawSocket client(port());
    client.send(chat_request(bearer("a"), true, 2));
    EXPECT_EQ(status_of(client.read_until("\r\n\r\n")), 200);
    client.reset();
    await_metric("fastvlm_chats_running 0\n", bearer("b"));
  }
  const std::string late = chat(bearer("a"));
  EXPECT_EQ(status_of(late), 429);
  EXPECT_EQ(json::parse(body_of(late))["error"]["code"], "rate_limited") << late;
  const int wait = std::stoi("0" + field_of(late, "Retry-After"));
  EXPECT_TRUE(wait > 1 && wait <= 30) << late;
  // Frames: one is described, one may be queued.
  RawWebSocket camera(port(), bearer("b"));
  for (int i = 0; i < 2; ++i) camera.send(RawWebSocket::kBinary, jpeg());
  await_metric("fastvlm_frames_waiting 1\n", bearer("b"));
  RawWebSocket other(port(), bearer("b"));
  other.send(RawWebSocket::kBinary, jpeg());
  EXPECT_EQ(next(other)["content"], "处理出错: too many frames of your key are queued");
  await_metric(
      "fastvlm_http_requests_total{route=\"/v1/chat/completions\",code=\"429\",key=\"a\"} 2\n",
      bearer("b"));
  await_metric("fastvlm_rejections_total{reason=\"rate_limited\"} 1\n", bearer("b"));
}

TEST_F(ServerOperation, FramesCountAsRequestsOfTheirKey) {
  start(
      {.live = {.max_new_tokens = 2}, .access = {.keys = {key("a", {.requests_per_minute = 2})}}});
  RawWebSocket camera(port(), bearer("a"));
  for (int i = 0; i < 2; ++i) {
    camera.send(RawWebSocket::kBinary, jpeg());
    EXPECT_FALSE(contains(next(camera)["content"], "处理出错"));
  }
  camera.send(RawWebSocket::kBinary, jpeg());
  EXPECT_TRUE(contains(next(camera)["content"], "处理出错: this key may not ask more often"));
  configure(camera, {{"stream", false}});
  camera.send(RawWebSocket::kBinary, jpeg());
  EXPECT_EQ(next(camera)["code"], "rate_limited");
}

TEST_F(ServerOperation, OtherKeysAndLimitsCountWithoutTheEndOfAConnection) {
  net::ServerOptions options{
      .live = {.max_new_tokens = 2}, .access = {.keys = {key("old"), key("stays")}}, .log = log()};
  start(options);
  RawWebSocket camera(port(), bearer("old"));
  RawSocket kept(port());
  const auto ask = [&](const std::string& name) {
    kept.send("GET /livez HTTP/1.1\r\nHost: localhost\r\n" + bearer(name) + "\r\n");
    return status_of(read_response(kept));
  };
  EXPECT_EQ(ask("old"), 200);
  EXPECT_EQ(ask("new"), 401);
  options.access.keys = {key("new"), key("stays", {.requests_per_minute = 1})};
  options.access.allowed_origins = {"https://a.example"};
  options.transport.max_body_bytes = 50;
  options.chat.max_new_tokens = 1;
  server_->set(options);
  line_with("settings are read again");
  EXPECT_EQ(ask("new"), 200);
  EXPECT_EQ(ask("old"), 401);
  EXPECT_EQ(status_of(chat(bearer("stays"))), 413) << "a new limit";
  camera.send(RawWebSocket::kBinary, jpeg());
  EXPECT_EQ(next(camera)["type"], "description") << "who is in stays in";
  EXPECT_EQ(status_of(http_get(port(), "/livez", bearer("new") + "Origin: https://a.example\r\n")),
            200);
}

TEST_F(ServerOperation, SettingsThatAreWrongChangeNothing) {
  net::ServerOptions options{.access = {.keys = {key("old")}}, .log = log()};
  start(options);
  options.access.keys = {key("new")};
  net::ServerOptions wrong = options;
  wrong.access.allowed_origins = {"http://a.example/path"};
  server_->set(wrong);
  line_with("stay as they were: --allow-origin http://a.example/path");
  wrong = options;
  wrong.transport.trusted_proxies = {"proxy"};
  server_->set(wrong);
  line_with("stay as they were: --trusted-proxy proxy");
  wrong = options;
  wrong.transport.certificate_file = "/none";
  wrong.transport.key_file = "/none";
  server_->set(wrong);
  line_with("stay as they were: TLS is turned on or off by a restart");
  EXPECT_EQ(status_of(http_get(port(), "/livez", bearer("old"))), 200);
  EXPECT_EQ(status_of(http_get(port(), "/livez", bearer("new"))), 401);
}

TEST_F(ServerOperation, ThePortIsTakenAndClientsAreRefusedBeforeThereIsAnEngine) {
  net::Server first({.transport = {.port = 0}});
  EXPECT_THROW(RawSocket(first.port()), std::runtime_error);
  const net::ServerOptions same{.transport = {.port = first.port()}};
  first.open(*engine_);
  EXPECT_TRUE(
      contains(error_of([&] { net::Server second(same); }), "another program listens there"));
}

TEST_F(ServerOperation, IsNotReadyOnceItDrainsAndSaysWhy) {
  start_endless({});
  RawSocket stream(port());
  stream.send(chat_request("", true, 100));
  stream.read_until("token");
  EXPECT_EQ(status_of(http_get(port(), "/readyz")), 200);
  server_->drain(seconds(60));
  await_metric("fastvlm_draining 1\n");
  const std::string answer = http_get(port(), "/readyz");
  EXPECT_EQ(status_of(answer), 503);
  EXPECT_EQ(field_of(answer, "Retry-After"), "1") << answer;
  EXPECT_EQ(json::parse(body_of(answer))["error"]["message"], "the server is stopping");
}

TEST_F(ServerOperation, StreamsThatAreCutAtTheEndSayWhy) {
  start_endless({.log = log()});
  RawSocket stream(port());
  stream.send(chat_request("X-Request-Id: cut-1\r\n", true, 100));
  RawSocket whole(port());
  whole.send(chat_request("", false, 100));
  RawWebSocket ours(port());
  configure(ours, {{"stream", true}});
  ours.send(RawWebSocket::kBinary, jpeg());
  RawWebSocket original(port());
  for (int i = 0; i < 2; ++i) original.send(RawWebSocket::kBinary, jpeg());
  stream.read_until("token");
  await_metric("fastvlm_chats_running 2\n");
  await_metric("fastvlm_frames_running 2\n");
  await_metric("fastvlm_frames_waiting 1\n");
  server_->drain(milliseconds(200));
  const std::string end = stream.read_all();
  const std::size_t data = end.rfind("data: {\"error\"");
  ASSERT_NE(data, end.npos) << end;
  const json event = json::parse(end.substr(data + 6, end.find("\n\n", data) - data - 6));
  EXPECT_EQ(event["error"]["code"], "stopping");
  EXPECT_EQ(event["error"]["message"], "the server is stopping");
  EXPECT_TRUE(contains(end, "\n\ndata: [DONE]\n\n")) << end;
  EXPECT_TRUE(contains(end, "\r\n0\r\n\r\n")) << "a whole response: " << end;
  const std::string refused = whole.read_all();
  EXPECT_EQ(status_of(refused), 503);
  EXPECT_EQ(field_of(refused, "Retry-After"), "1") << refused;
  const json message = next_but_tokens(ours);
  EXPECT_EQ(message["code"], "stopping") << message;
  EXPECT_EQ(message["frame_id"], 1);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(next(original)["content"], "处理出错: the server is stopping");
  }
  for (RawWebSocket* socket : {&ours, &original}) {
    const auto frame = socket->next();
    ASSERT_TRUE(frame && frame->opcode == RawWebSocket::kClose);
    EXPECT_EQ(frame->payload.substr(0, 2), "\x03\xe9");  // 1001: going away
  }
  EXPECT_EQ(line_with("/v1/chat/completions 1: the server is stopping").request_id, "cut-1");
}

TEST_F(ServerOperation, ConnectionsEndWithTheirNextResponseOnceItDrains) {
  start_endless({});
  RawWebSocket camera(port());
  camera.send(RawWebSocket::kBinary, jpeg());
  await_metric("fastvlm_frames_running 1\n");
  RawSocket kept(port());
  const std::string request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
  kept.send(request);
  EXPECT_EQ(status_of(read_response(kept)), 200);
  http_get(port(), "/livez");  // then that response is over
  server_->drain(seconds(30));
  await_metric("fastvlm_draining 1\n");
  kept.send(request);
  const std::string answer = kept.read_all();
  EXPECT_EQ(status_of(answer), 503);
  EXPECT_TRUE(contains(answer, "\r\nConnection: close\r\n")) << answer;
  const std::string chat_answer = chat();
  EXPECT_EQ(status_of(chat_answer), 503);
  EXPECT_FALSE(field_of(chat_answer, "Retry-After").empty()) << chat_answer;
}

TEST_F(ServerOperation, MetricsTellOfBuildRoutesAndTimes) {
  start({.live = {.max_new_tokens = 8}, .chat = {.max_new_tokens = 8}, .version = "1.2 \"x\""});
  chat("", false, 8);
  RawWebSocket camera(port());
  camera.send(RawWebSocket::kBinary, jpeg());
  next(camera);
  for (const char* path : {"/a", "/b", "/v1/models", "/v1/models/x", "/static/app.js", "/"}) {
    http_get(port(), path);
  }
  const std::string text = http_get(port(), "/metrics");
  for (const char* line :
       {"fastvlm_build_info{version=\"1.2 \\\"x\\\"\",model=\"checkpoint\",device=\"cpu",
        "fastvlm_http_requests_total{route=\"/v1/chat/completions\",code=\"200\",key=\"\"} 1\n",
        "fastvlm_http_requests_total{route=\"/ws\",code=\"101\",key=\"\"} 1\n",
        "fastvlm_http_requests_total{route=\"other\",code=\"404\",key=\"\"} 2\n",
        "fastvlm_http_requests_total{route=\"/v1/models\",code=\"404\",key=\"\"} 1\n",
        "fastvlm_http_requests_total{route=\"/static/\",code=\"200\",key=\"\"} 1\n",
        "fastvlm_rejections_total{reason=\"not_found\"} 2\n",
        "fastvlm_time_in_queue_seconds_count 2\n", "fastvlm_time_to_first_token_seconds_count 2\n",
        "fastvlm_time_between_tokens_seconds_count 2\n", "fastvlm_answer_seconds_count 2\n",
        "process_start_time_seconds ", "process_max_fds "}) {
    EXPECT_TRUE(contains(text, std::string("\n") + line)) << line << "\n" << text;
  }
  EXPECT_FALSE(contains(text, "route=\"/a\""));
  const double queue = metric("fastvlm_time_in_queue_seconds_sum");
  const double first = metric("fastvlm_time_to_first_token_seconds_sum");
  const double all = metric("fastvlm_answer_seconds_sum");
  EXPECT_GT(queue, 0);
  EXPECT_GT(first, queue);
  EXPECT_GT(all, first);
}

}  // namespace
}  // namespace fvlm
