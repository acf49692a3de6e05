// Cameras, pages and HTTP: what they send to the server and what comes back.
#include "tests/net/service/server_fixture.hpp"

#include <string>
#include <vector>

namespace fvlm {
namespace {

TEST_F(ServerTest, OriginalClientsGetOneDescriptionForEachFrame) {
  start({.live = {.max_new_tokens = 8}});
  RawWebSocket camera(port());
  std::string first;
  for (int i = 0; i < 3; ++i) {
    camera.send(RawWebSocket::kBinary, jpeg());
    const json answer = next(camera);
    EXPECT_EQ(answer.size(), 3U) << answer;
    EXPECT_EQ(answer["type"], "description");
    EXPECT_EQ(answer["timestamp"].get<std::string>().size(), std::string("20261123_081700").size());
    EXPECT_EQ(answer["timestamp"].get<std::string>()[8], '_');
    if (i == 0) first = answer["content"];
    EXPECT_EQ(answer["content"], first);
  }
  // Sent without waiting: answered in their order, all of them.
  camera.send(RawWebSocket::kBinary, jpeg());
  camera.send(RawWebSocket::kBinary, "no picture");
  camera.send(RawWebSocket::kBinary, jpeg());
  EXPECT_EQ(next(camera)["content"], first);
  const json bad = next(camera);
  EXPECT_EQ(bad["type"], "description");
  EXPECT_TRUE(bad["content"].get<std::string>().starts_with("处理出错: ")) << bad;
  EXPECT_EQ(next(camera)["content"], first);
}

TEST_F(ServerTest, StreamsTokensToThoseWhoAsk) {
  start();
  RawWebSocket page(port());
  configure(page, {{"prompt", "What is it?"},
                   {"stream", true},
                   {"max_new_tokens", 12},
                   {"temperature", 0},
                   {"request_id", {{"n", 7}}}});
  page.send(RawWebSocket::kBinary, jpeg());
  std::string streamed;
  json message = next(page);
  for (; message["type"] == "token"; message = next(page)) {
    EXPECT_EQ(message["frame_id"], 1);
    streamed += message["content"].get<std::string>();
  }
  EXPECT_EQ(message["type"], "description") << message;
  EXPECT_EQ(message["content"], streamed);
  EXPECT_EQ(message["frame_id"], 1);
  EXPECT_EQ(message["tokens"], 12);
  EXPECT_EQ(message["request_id"], json({{"n", 7}}));
  EXPECT_GT(message["ttft_ms"], 0);
  EXPECT_GE(message["total_ms"], message["ttft_ms"]);
  EXPECT_FALSE(message.contains("prompt")) << message;
}

TEST_F(ServerTest, TellsItsOwnPromptToThoseWhoGaveNone) {
  start();
  RawWebSocket page(port());
  configure(page, {{"max_new_tokens", 2}});
  page.send(RawWebSocket::kBinary, jpeg());
  EXPECT_EQ(next(page)["prompt"], net::LiveOptions{}.prompt);
  configure(page, {{"prompt", "What is it?"}});
  page.send(RawWebSocket::kBinary, jpeg());
  EXPECT_FALSE(next(page).contains("prompt"));
}

TEST_F(ServerTest, NewestFrameWinsAndEveryFrameIsAnsweredOnce) {
  start();
  RawWebSocket page(port());
  configure(page, {{"max_new_tokens", 100}, {"temperature", 0}});
  constexpr int kFrames = 6;
  for (int i = 0; i < kFrames; ++i) page.send(RawWebSocket::kBinary, jpeg());
  std::vector<int> answers(kFrames + 1);
  int skipped = 0;
  for (int i = 0; i < kFrames; ++i) {
    const json answer = next(page);
    ++answers.at(answer["frame_id"].get<std::size_t>());
    const bool is_skipped = answer["type"] == "skipped";
    skipped += is_skipped ? 1 : 0;
    EXPECT_TRUE(is_skipped || answer["type"] == "description") << answer;
    // The newest is described, after all others have been answered.
    EXPECT_EQ(answer["frame_id"] == kFrames, i == kFrames - 1) << answer;
  }
  EXPECT_GT(skipped, 0);
  for (int i = 1; i <= kFrames; ++i) EXPECT_EQ(answers[static_cast<std::size_t>(i)], 1) << i;
}

TEST_F(ServerTest, UnchangedFramesGetTheLastAnswerIfTheClientWants) {
  start({.live = {.max_new_tokens = 8}});
  RawWebSocket page(port());
  const auto ask = [&](const json& settings) {
    configure(page, settings);
    page.send(RawWebSocket::kBinary, jpeg());
    return next(page);
  };
  const json first = ask({{"unchanged_below", 2}});
  EXPECT_FALSE(first.contains("unchanged"));
  const json second = ask(json::object());
  EXPECT_EQ(second["unchanged"], true) << second;
  EXPECT_EQ(second["content"], first["content"]);
  EXPECT_FALSE(ask({{"prompt", "What else?"}}).contains("unchanged"));
  EXPECT_FALSE(ask({{"unchanged_below", 0}}).contains("unchanged"));
  await_metric("fastvlm_frames_total{outcome=\"unchanged\"} 1\n");
}

TEST_F(ServerTest, TheLastAnswerIsTheDraftOfTheNext) {
  const auto accepted_tokens = [&](bool drafts) {
    start({.live = {.max_new_tokens = 30, .drafts = drafts}});
    {
      RawWebSocket camera(port());
      std::string first;
      for (int i = 0; i < 3; ++i) {
        camera.send(RawWebSocket::kBinary, jpeg());
        const std::string content = next(camera)["content"];
        if (i == 0) first = content;
        EXPECT_EQ(content, first);
      }
    }
    const double accepted = metric("fastvlm_accepted_tokens_total");
    stop();
    return accepted;
  };
  EXPECT_EQ(accepted_tokens(false), 0);
  EXPECT_GT(accepted_tokens(true), 30);
}

TEST_F(ServerTest, TooMuchWaitingIsRefused) {
  start_endless({.transport = {.max_message_bytes = jpeg().size()},
                 .live = {.max_waiting_bytes = jpeg().size()}});
  RawWebSocket first(port());
  RawWebSocket second(port());
  for (RawWebSocket* page : {&first, &second}) {
    configure(*page, {{"stream", true}});
    page->send(RawWebSocket::kBinary, jpeg());
    EXPECT_EQ(next(*page)["type"], "token");
  }
  first.send(RawWebSocket::kBinary, jpeg());
  await_metric("fastvlm_frames_waiting 1\n");
  second.send(RawWebSocket::kBinary, jpeg());
  const json message = next_but_tokens(second);
  EXPECT_EQ(message["code"], "busy") << message;
  EXPECT_EQ(message["frame_id"], 2);
}

TEST_F(ServerTest, CancelEndsAnAnswerSoon) {
  constexpr int kLong = 1900;  // tokens: many more than can come before the cancel does
  start_slow({.live = {.max_new_tokens = kLong}});
  RawWebSocket page(port());
  configure(page, {{"stream", true}, {"max_new_tokens", kLong}, {"temperature", 0}});
  page.send(RawWebSocket::kBinary, jpeg());
  EXPECT_EQ(next(page)["type"], "token");
  page.send(RawWebSocket::kText, R"({"type": "cancel"})");
  json message = next(page);
  int tokens = 1;
  for (; message["type"] == "token"; message = next(page)) ++tokens;
  EXPECT_EQ(message["type"], "error") << message;
  EXPECT_EQ(message["code"], "cancelled");
  EXPECT_EQ(message["frame_id"], 1);
  EXPECT_LT(tokens, kLong);
  page.send(RawWebSocket::kBinary, jpeg());  // the connection goes on
  EXPECT_EQ(next(page)["type"], "token");
}

TEST_F(ServerTest, APromptThatSpeaksOfImagesIsText) {
  start({.live = {.max_new_tokens = 2}});
  RawWebSocket page(port());
  configure(page, {{"prompt", "Is it <image> or <image>?"}});
  page.send(RawWebSocket::kBinary, jpeg());
  EXPECT_EQ(next(page)["type"], "description");
}

TEST_F(ServerTest, WrongMessagesAreNamed) {
  start();
  RawWebSocket page(port());
  for (const auto& [text, part] : std::vector<std::pair<std::string, std::string>>{
           {"{", "not JSON: something is wrong at byte 2"},
           {"[]", "JSON object"},
           {"{}", "\"type\""},
           {R"({"type": "launch"})", "\"configure\" or \"cancel\""},
           {R"({"type": "configure", "prompt": 7})", "\"prompt\" must be a text"},
           {R"({"type": "configure", "stream": "yes"})", "\"stream\" must be true or false"},
           {R"({"type": "configure", "max_new_tokens": 1.5})", "\"max_new_tokens\""},
           {R"({"type": "configure", "request_id": )" + std::string(20000, '[') +
                std::string(20000, ']') + "}",
            "deeper than 32 levels"},
           {R"({"type": "configure", "prompt": ")" + std::string(70000, 'x') + "\"}",
            "65536 bytes"},
           {R"({"type": "configure", "temperature": -1})", "temperature"}}) {
    page.send(RawWebSocket::kText, text);
    const json answer = next(page);
    EXPECT_EQ(answer["code"], "bad_message") << text;
    EXPECT_NE(answer["message"].get<std::string>().find(part), std::string::npos) << answer;
  }
}

TEST_F(ServerTest, AnswersOverHttp) {
  start({.live = {.max_new_tokens = 4}});
  const std::string single_steps = "fastvlm_decode_batch_positions_bucket{le=\"1\"}";
  const double single_steps_before = metric(single_steps);
  const double positions_before = metric("fastvlm_decode_batch_positions_sum");
  RawWebSocket camera(port());
  camera.send(RawWebSocket::kBinary, jpeg());
  next(camera);
  EXPECT_EQ(metric(single_steps), single_steps_before + 3) << "after the first token";
  EXPECT_EQ(metric("fastvlm_decode_batch_positions_sum"), positions_before + 3);
  EXPECT_EQ(body_of(http_get(port(), "/livez")), "ok\n");
  EXPECT_EQ(status_of(http_get(port(), "/readyz")), 200);
  const std::string page = http_get(port(), "/?from=here");
  EXPECT_NE(page.find("Content-Type: text/html"), std::string::npos);
  EXPECT_NE(body_of(page).find("<title>fastvlm</title>"), std::string::npos);
  EXPECT_EQ(status_of(http_get(port(), "/static/app.js")), 200);
  EXPECT_EQ(status_of(http_get(port(), "/static/words.js")), 200);
  EXPECT_EQ(status_of(http_get(port(), "/static/../server.cpp")), 404);
  const std::string metrics = http_get(port(), "/metrics");
  EXPECT_NE(metrics.find("fastvlm_frames_total{outcome=\"described\"} 1\n"), std::string::npos);
  EXPECT_NE(metrics.find("fastvlm_connections 1\n"), std::string::npos);
  EXPECT_NE(metrics.find("fastvlm_reused_images_total 0\n"), std::string::npos);
  EXPECT_EQ(status_of(http_get(port(), "/nothing")), 404);
}

TEST_F(ServerTest, IsNotAliveWhenItsEngineHangs) {
  HangingEngine engine;
  start(engine, {.step_timeout = std::chrono::milliseconds(9'900)});
  EXPECT_FALSE(server_->alive());
  const std::string answer = http_get(port(), "/livez");
  EXPECT_EQ(status_of(answer), 503);
  EXPECT_EQ(json::parse(body_of(answer))["error"]["type"], "server_error");
  stop();
  start(engine, {.step_timeout = std::chrono::milliseconds(10'100)});
  EXPECT_TRUE(server_->alive());
  EXPECT_EQ(status_of(http_get(port(), "/livez")), 200);
  stop();  // before the engine goes
}

TEST_F(ServerTest, RefusesWhatIsNotHttpAsItShouldBe) {
  start();
  const std::string host = "Host: localhost\r\n";
  const auto status = [&](const std::string& request) { return status_of(http(port(), request)); };
  EXPECT_EQ(status("POST / HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\nhi"), 405);
  EXPECT_EQ(status("POST / HTTP/1.1\r\n" + host + "Content-Length: abc\r\n\r\n"), 400);
  EXPECT_EQ(status("POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            405);
  EXPECT_EQ(status("rubbish\r\n\r\n"), 400);
  for (const char* version : {"0", "8", "12", "14"}) {
    EXPECT_NE(status("GET /ws HTTP/1.1\r\n" + host +
                     "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: " +
                     version + "\r\n\r\n"),
              101)
        << version;
  }
  // hybi00, which has no version: its handshake ends in eight bytes of key.
  EXPECT_NE(status("GET /ws HTTP/1.1\r\n" + host +
                   "Upgrade: WebSocket\r\nConnection: Upgrade\r\nOrigin: http://localhost\r\n"
                   "Sec-WebSocket-Key1: 18x 6]8vM;54 *(5:  {   U1]8  z [  8\r\n"
                   "Sec-WebSocket-Key2: 1_ tx7X d  <  nw  334J702) 7]o}` 0\r\n\r\nTm[K T2u"),
            101);
  EXPECT_EQ(status("GET /other HTTP/1.1\r\n" + host +
                   "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"),
            404);
}

TEST_F(ServerTest, LongMessagesEndTheConnection) {
  start({.transport = {.max_message_bytes = 100'000}});
  RawWebSocket camera(port());
  camera.send(RawWebSocket::kBinary, std::string(100'001, 'x'));
  const auto frame = camera.next();
  ASSERT_TRUE(frame.has_value());
  EXPECT_EQ(frame->opcode, RawWebSocket::kClose);
  EXPECT_EQ(frame->payload.substr(0, 2), "\x03\xf1");  // 1009: too big
}

TEST_F(ServerTest, PagesOfOthersAndOtherNamesAreRefused) {
  start();
  EXPECT_EQ(status_of(http_get(port(), "/", "Origin: https://evil.example\r\n")), 403);
  EXPECT_EQ(status_of(http(port(), "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")), 403);
  EXPECT_EQ(status_of(http(port(), "GET / HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n")), 403);
  EXPECT_EQ(status_of(http(port(), "GET /livez HTTP/1.1\r\nHost: [::1]:5000\r\n\r\n")), 200);
  EXPECT_THROW(RawWebSocket(port(), "Origin: https://evil.example\r\n"), std::runtime_error);
  EXPECT_NO_THROW(
      RawWebSocket(port(), "Origin: http://127.0.0.1:" + std::to_string(port()) + "\r\n"));
}

TEST_F(ServerTest, EveryRouteWantsTheKeyIfThereIsOne) {
  start({.access = {.key = "secret"}});
  for (const char* path : {"/livez", "/readyz", "/metrics", "/v1/models", "/static/nothing"}) {
    EXPECT_EQ(status_of(http_get(port(), path)), 401) << path;
    EXPECT_EQ(status_of(http_get(port(), path, "Authorization: Bearer secre\r\n")), 401) << path;
    EXPECT_NE(status_of(http_get(port(), path, "Authorization: Bearer secret\r\n")), 401) << path;
  }
  EXPECT_EQ(status_of(http_get(port(), "/livez", "Authorization: Basic dXNlcjpzZWNyZXQ=\r\n")),
            200);
  EXPECT_EQ(status_of(http_get(port(), "/livez", "Authorization: Basic dXNlcjp3cm9uZw==\r\n")),
            401);
  EXPECT_THROW(RawWebSocket{port()}, std::runtime_error);
  EXPECT_NO_THROW(RawWebSocket(port(), "Authorization: Bearer secret\r\n"));
}

TEST_F(ServerTest, ThePageIsReadWithoutTheKeyWhichItAsksFor) {
  start({.access = {.key = "secret"}});
  for (const char* path : {"/", "/static/app.js"}) {
    EXPECT_EQ(status_of(http_get(port(), path)), 200) << path;
    EXPECT_EQ(status_of(http(port(), "POST " + std::string(path) +
                                         " HTTP/1.1\r\nHost: localhost\r\n"
                                         "Content-Length: 0\r\n\r\n")),
              401)
        << path;
  }
}

TEST_F(ServerTest, APageGivesItsKeyAsASubprotocol) {
  start({.access = {.key = "s(e)c, ret"}});
  const std::string field = "Sec-WebSocket-Protocol: fastvlm";
  EXPECT_NO_THROW(RawWebSocket(port(), field + ", fastvlm.key.s%28e%29c%2C%20ret\r\n"));
  EXPECT_THROW(RawWebSocket(port(), field + ", fastvlm.key.s%28e%29c\r\n"), std::runtime_error);
  EXPECT_THROW(RawWebSocket(port(), field + "\r\n"), std::runtime_error);
  const std::string accepted =
      http_get(port(), "/ws",
               "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" +
                   field + "\r\nAuthorization: Bearer s(e)c, ret\r\n");
  EXPECT_NE(accepted.find("\r\nSec-WebSocket-Protocol: fastvlm\r\n"), std::string::npos);
}

TEST_F(ServerTest, DoesNotListenToAllWithoutAKey) {
  const net::ServerOptions open{.transport = {.host = "0.0.0.0", .port = 0}};
  EXPECT_NE(error_of([&] { net::Server(*engine_, open); }).find("--api-key"), std::string::npos);
}

TEST_F(ServerTest, ATakenPortIsNamed) {
  start();
  const net::ServerOptions same{.transport = {.port = port()}};
  // The address may be reused after a restart, but not while the other server listens.
  EXPECT_NE(error_of([&] { net::Server(*engine_, same); }).find(std::to_string(port())),
            std::string::npos);
}

TEST_F(ServerTest, DrainFinishesWhatIsBegun) {
  start({.live = {.max_new_tokens = 60}});
  RawWebSocket camera(port());
  camera.send(RawWebSocket::kBinary, jpeg());
  camera.send(RawWebSocket::kBinary, jpeg());
  await_metric("fastvlm_frames_received_total 2\n");
  server_->drain(std::chrono::seconds(30));
  EXPECT_EQ(next(camera)["type"], "description");
  EXPECT_EQ(next(camera)["type"], "description");
  const auto frame = camera.next();
  ASSERT_TRUE(frame.has_value());
  EXPECT_EQ(frame->payload.substr(0, 2), "\x03\xe9");  // 1001: going away
  camera.send(RawWebSocket::kClose, frame->payload.substr(0, 2));
  thread_.join();
}

TEST_F(ServerTest, DrainRefusesWhatIsNew) {
  start_slow({.live = {.max_new_tokens = 1900}});
  RawWebSocket busy(port());
  RawWebSocket idle(port());
  configure(busy, {{"stream", true}});
  busy.send(RawWebSocket::kBinary, jpeg());
  EXPECT_EQ(next(busy)["type"], "token");
  server_->drain(std::chrono::seconds(30));
  await_metric("fastvlm_draining 1\n");
  EXPECT_EQ(status_of(http_get(port(), "/readyz")), 503);
  EXPECT_EQ(status_of(http_get(port(), "/livez")), 200);
  EXPECT_EQ(status_of(http(port(),
                           "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                           "Content-Length: 2\r\n\r\n{}")),
            503);
  EXPECT_THROW(RawWebSocket{port()}, std::runtime_error);
  idle.send(RawWebSocket::kBinary, jpeg());
  EXPECT_EQ(next(idle)["content"], "处理出错: the server is stopping");
  const json message = next_but_tokens(busy);
  EXPECT_EQ(message["type"], "description") << message;
}

TEST_F(ServerTest, ClientsThatVanishLeaveNothingBehind) {
  start();
  for (int i = 0; i < 50; ++i) {
    RawWebSocket camera(port());
    configure(camera, {{"max_new_tokens", 200}});
    camera.send(RawWebSocket::kBinary, jpeg());
    if (i % 2 == 0) camera.socket().send(client_frame(2, jpeg()).substr(0, 500));  // mid-upload
    camera.socket().reset();
  }
  await_metric("fastvlm_connections 0\n");
  await_metric("fastvlm_frames_running 0\n");
}

TEST_F(ServerTest, StalledPeersAreClosed) {
  start({.transport = {.ping_interval = std::chrono::milliseconds(200),
                       .idle_timeout = std::chrono::milliseconds(1000)}});
  RawWebSocket stalled(port());
  stalled.socket().send(client_frame(RawWebSocket::kBinary, jpeg()).substr(0, 500));
  RawWebSocket healthy(port());
  for (int pings = 0; pings < 5; ++pings) {
    const auto frame = healthy.next();
    ASSERT_TRUE(frame.has_value());
    ASSERT_EQ(frame->opcode, RawWebSocket::kPing);
    healthy.send(RawWebSocket::kPong, frame->payload);
  }
  while (const auto frame = stalled.next()) EXPECT_EQ(frame->opcode, RawWebSocket::kPing);
}

}  // namespace
}  // namespace fvlm
