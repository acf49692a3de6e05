// The page on port 8080 from outside: viewers of the original system and of ours, other programs,
// and those who are kept out.
#include <algorithm>
#include <chrono>

#include "capture/source/trouble.hpp"
#include "tests/capture/client_fixture.hpp"
#include "tests/capture/jpeg.hpp"
#include "tests/support/raw_websocket.hpp"
#include "tests/support/waiting.hpp"

namespace fvlm::capture {
namespace {

// Answers as ours does with "stream": tokens, then the description.
std::vector<std::string> describe_in_tokens(bool binary, const std::string&) {
  if (!binary) return {};
  return {
      R"({"type":"token","content":"A "})", R"({"type":"token","content":"tree."})",
      R"({"type":"description","content":"A tree.","timestamp":"20261123_081700","frame_id":1})"};
}

// The next message that is neither ping nor text.
std::string next_binary(RawWebSocket& socket) {
  while (const auto frame = socket.next()) {
    if (frame->opcode == RawWebSocket::kBinary) return frame->payload;
    if (frame->opcode == RawWebSocket::kPing) socket.send(RawWebSocket::kPong, frame->payload);
  }
  return "";
}

// The next text with `part` in it.
std::string next_text_with(RawWebSocket& socket, const std::string& part) {
  std::string text = "-";
  while (!text.empty() && !contains(text, part)) text = socket.next_text();
  return text;
}

// The head of an answer that may have no end.
std::string head_of(std::uint16_t port, const std::string& path, const std::string& headers) {
  RawSocket socket(port);
  socket.send("GET " + path + " HTTP/1.1\r\n" + headers + "\r\n");
  return socket.read_until("\r\n\r\n");
}

TEST_F(ClientTest, AnOriginalPageGetsFramesAndDescriptions) {
  CameraServer server(describe);
  const auto camera =
      start(server.url(), {"--source", "test-pattern", "--width", "160", "--interval", "50ms"});
  RawWebSocket page(camera->port());
  const std::string frame = next_text_with(page, "frame");
  EXPECT_EQ(frame.substr(0, 40), R"({"type":"frame","data":"/9j/4AAQSkZJRgAB)");
  EXPECT_EQ(next_text_with(page, "description"), original_description("A tree."));
}

TEST_F(ClientTest, OurPageGetsBinaryFramesTokensAndState) {
  CameraServer server(describe_in_tokens);
  const auto camera = start(server.url(), {"--source", "test-pattern", "--width", "160",
                                           "--interval", "50ms", "--stream", "--prompt", "What?"});
  const std::string described = "fastvlm_camera_answers_total{outcome=\"described\"}";
  EXPECT_TRUE(wait_for([&] { return camera->metric(described) >= 1; }, Milliseconds(5000)));
  RawWebSocket page(camera->port());
  page.send(RawWebSocket::kText, R"({"type":"configure","binary":true})");
  EXPECT_TRUE(contains(next_text_with(page, "history"), "A tree."));
  const std::string state = next_text_with(page, "state");
  EXPECT_TRUE(contains(state, R"("server":"ready")")) << state;
  EXPECT_TRUE(contains(state, R"("prompt":"What?")")) << state;
  EXPECT_EQ(decode_jpeg(next_binary(page)).width, 160);
  EXPECT_EQ(next_text_with(page, "A \""), R"({"type":"token","content":"A "})");

  page.send(RawWebSocket::kText, R"({"type":"configure","prompt":"Which tree?","interval":0.02})");
  EXPECT_TRUE(contains(next_text_with(page, "Which tree?"), R"("type":"state")"));
  EXPECT_TRUE(wait_for([&] { return contains(server.texts().back(), R"("prompt":"Which tree?")"); },
                       Milliseconds(2000)));
}

TEST_F(ClientTest, AViewerThatDoesNotReadHoldsUpNobody) {
  const auto camera = start(kNowhere, {"--source", "test-pattern:mjpeg", "--width", "1280", "--fps",
                                       "200", "--page-fps", "200"});
  RawWebSocket stalled(camera->port());
  RawSocket stalled_stream(camera->port());
  stalled_stream.send("GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
  RawWebSocket page(camera->port());
  page.send(RawWebSocket::kText, R"({"type":"configure","binary":true})");
  for (int i = 0; i < 50; ++i) ASSERT_FALSE(next_binary(page).empty());
  [[maybe_unused]] const double before = camera->metric("process_resident_memory_bytes");
  for (int i = 0; i < 150; ++i) ASSERT_FALSE(next_binary(page).empty());
#ifndef FVLM_SANITIZED  // which keep what was freed
  EXPECT_LT(camera->metric("process_resident_memory_bytes") - before, 4e6);
#endif
}

TEST_F(ClientTest, OtherProgramsGetPicturesOverHttp) {
  CameraServer server(describe);
  const auto camera = start(server.url(), {"--source", "test-pattern:nv12", "--width", "320"});
  EXPECT_TRUE(wait_for([&] { return !camera->get("/healthz").empty(); }, Milliseconds(5000)));
  EXPECT_EQ(decode_jpeg(camera->get("/snapshot.jpg")).height, 240);
  RawSocket stream(camera->port());
  stream.send("GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
  EXPECT_TRUE(contains(stream.read_until("\r\n\r\n"), "boundary=fastvlm-frame"));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(stream.read_until("\r\n"), "--fastvlm-frame\r\n");
    const std::string head = stream.read_until("\r\n\r\n");
    const std::size_t size = std::stoul(head.substr(head.find("Content-Length: ") + 16));
    EXPECT_EQ(decode_jpeg(stream.read_bytes(size)).width, 320);
    EXPECT_EQ(stream.read_bytes(2), "\r\n");
  }
  // More than can be connected at a time: each goes when it is answered.
  for (int i = 0; i < 150; ++i) ASSERT_FALSE(camera->get("/static/camera.js").empty()) << i;
}

TEST_F(ClientTest, OneConnectionCarriesManyRequests) {
  const auto camera = start(kNowhere, {"--source", "test-pattern", "--width", "320", "--base-path",
                                       "/cam/", "--trusted-proxy", "127.0.0.1"});
  const std::string host = " HTTP/1.1\r\nHost: localhost\r\n\r\n";
  EXPECT_TRUE(wait_for(
      [&] { return status_of(http(camera->port(), "GET /cam/snapshot.jpg" + host)) == 200; },
      Milliseconds(5000)));
  RawSocket client(camera->port());
  const auto ask = [&](const std::string& line) {
    client.send(line + host);
    return read_response(client, line.starts_with("HEAD "));
  };
  for (int i = 0; i < 3; ++i) {
    const std::string page = ask("GET /cam/");
    EXPECT_EQ(status_of(page), 200);
    EXPECT_FALSE(contains(page, "=\"/")) << "a URL that leads out of it";
    const std::string picture = ask("GET /cam/snapshot.jpg");
    EXPECT_EQ(decode_jpeg(std::string(body_of(picture))).width, 320);
    EXPECT_TRUE(contains(ask("HEAD /cam/snapshot.jpg"), "\r\nContent-Length: "));
    EXPECT_EQ(status_of(ask("OPTIONS /cam/snapshot.jpg")), 204);
    EXPECT_EQ(status_of(ask("DELETE /cam/")), 405);
    EXPECT_EQ(status_of(ask("GET /snapshot.jpg")), 404);
  }
  EXPECT_TRUE(contains(ask("HEAD /cam/stream.mjpg"), "boundary=fastvlm-frame"));
  EXPECT_EQ(client.read_all(), "") << "an endless response would end with its connection";
  EXPECT_EQ(status_of(http(camera->port(), "rubbish\r\n\r\n")), 400);
  EXPECT_EQ(status_of_run("--port 0 --base-path '/a b'"), 1);
  EXPECT_TRUE(contains(output(), "--base-path /a b: expected")) << output();
  EXPECT_EQ(status_of_run("--port 0 --trusted-proxy 10.0.0.0/40"), 1);
  EXPECT_TRUE(contains(output(), "--trusted-proxy 10.0.0.0/40: expected")) << output();
}

TEST_F(ClientTest, HttpErrorsSayWhatIsWrong) {
  const auto camera = start(kNowhere, {"--source", "images:/nowhere", "--wait-for-camera"});
  const std::uint16_t port = camera->port();
  for (const char* path : {"/", "/static/camera_texts.js", "/static/card.js", "/static/errors.js",
                           "/static/figures.js", "/static/theme.js", "/static/words.js"}) {
    EXPECT_EQ(status_of(http_get(port, path)), 200) << path;
  }
  EXPECT_EQ(status_of(http_get(port, "/nothing")), 404);
  EXPECT_EQ(status_of(http(port, "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")), 405);
  EXPECT_TRUE(wait_for(
      [&] {
        return contains(http_get(port, "/snapshot.jpg"), "/nowhere: there is no such folder");
      },
      Milliseconds(2000)));
  EXPECT_EQ(status_of(http_get(port, "/healthz")), 503);
  RawWebSocket page(port);
  page.send(RawWebSocket::kText, R"({"type":"configure","binary":true})");
  const std::string state = next_text_with(page, "state");
  EXPECT_TRUE(contains(state, "/nowhere: there is no such folder")) << state;
  EXPECT_TRUE(contains(state, R"("camera_cause":"no_folder")")) << state;
  EXPECT_TRUE(contains(state, R"("source":"images:/nowhere")")) << state;
  EXPECT_TRUE(contains(state, R"("server_cause":"no_server")")) << state;
  EXPECT_TRUE(contains(state, R"("server_place":"127.0.0.1:9")")) << state;
}

TEST_F(ClientTest, ThePageSaysEachCauseInChinese) {
  const auto camera = start(kNowhere, {"--source", "test-pattern"});
  const std::string texts = http_get(camera->port(), "/static/camera_texts.js");
  const std::string chinese = texts.substr(texts.find("zh: {"));
  for (const CauseName& each : kCauses) {
    if (each.cause == Cause::kOther || each.cause == Cause::kOpening) continue;
    EXPECT_TRUE(contains(chinese, std::string(" ") + each.name + ": (")) << each.name;
  }
}

TEST_F(ClientTest, StrangersAreKeptOut) {
  write_file(folder / "key", "secret\n");
  const auto open = start(kNowhere, {"--source", "test-pattern"});
  EXPECT_EQ(status_of(http(open->port(), "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")), 403);
  EXPECT_EQ(status_of(http_get(open->port(), "/metrics", "Origin: http://evil.example\r\n")), 403);
  EXPECT_THROW(RawWebSocket(open->port(), "Origin: http://evil.example\r\n"), std::runtime_error);
  const std::string upgrade =
      "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n";
  EXPECT_EQ(status_of(http(open->port(), upgrade)), 400);
  const auto locked =
      start(kNowhere, {"--source", "test-pattern", "--open-to-all", "--host", "0.0.0.0"});
  EXPECT_EQ(status_of(http(locked->port(), "GET / HTTP/1.1\r\nHost: pi.local\r\n\r\n")), 200);
  for (const char* host : {"0.0.0.0", "127.evil.example"}) {
    EXPECT_EQ(status_of_run(std::string("--port 0 --host ") + host), 1);
    EXPECT_TRUE(contains(output(), "--page-key-file")) << output();
  }
}

TEST_F(ClientTest, NamesAndOriginsThatOnlyLookLikeOursAreRefused) {
  const auto camera = start(kNowhere, {"--source", "test-pattern"});
  const std::uint16_t port = camera->port();
  for (const char* path : {"/", "/snapshot.jpg", "/stream.mjpg", "/metrics", "/healthz"}) {
    for (const char* host : {"127.evil.example", "127.0.0.1.evil.example:8080",
                             "localhost.evil.example", "[::1].evil.example", "127.1"}) {
      const std::string header = std::string("Host: ") + host + "\r\n";
      EXPECT_EQ(status_of(head_of(port, path, header)), 403) << path << ' ' << host;
    }
  }
  for (const char* host : {"LOCALHOST:8080", "localhost.", "127.8.8.8", "[0::1]:8080"}) {
    const std::string header = std::string("Host: ") + host + "\r\n";
    EXPECT_EQ(status_of(head_of(port, "/", header)), 200) << host;
  }
  const std::string own = "http://127.0.0.1:" + std::to_string(port);
  for (const std::string& origin :
       {own + ".evil.example", own + "/", "x" + own.substr(4), std::string("http://127.0.0.1"),
        "http://127.evil.example:" + std::to_string(port), std::string("null")}) {
    EXPECT_THROW(RawWebSocket(port, "Origin: " + origin + "\r\n"), std::runtime_error) << origin;
  }
  EXPECT_NO_THROW(RawWebSocket(port, "Origin: " + own + "\r\n"));
}

TEST_F(ClientTest, PagesOfOtherSitesGetNoPicture) {
  const auto camera =
      start(kNowhere, {"--source", "test-pattern", "--allow-origin", "http://dash.example:8123"});
  const std::uint16_t port = camera->port();
  EXPECT_TRUE(wait_for([&] { return !camera->get("/snapshot.jpg").empty(); }, Milliseconds(5000)));
  const auto head = [&](const std::string& path, const std::string& headers) {
    return head_of(port, path, "Host: localhost:8080\r\n" + headers);
  };
  const std::string policy = "\r\nCross-Origin-Resource-Policy: ";
  const std::string image = "Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n";
  const std::string link =
      "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nSec-Fetch-User: ?1\r\n";
  for (const char* path : {"/snapshot.jpg", "/stream.mjpg", "/metrics"}) {
    for (const std::string& foreign :
         {"Sec-Fetch-Site: cross-site\r\n" + image, "Sec-Fetch-Site: same-site\r\n" + image,
          std::string("Referer: http://evil.example/\r\n"),
          std::string("Referer: http://localhost/\r\n"),
          std::string("Origin: http://evil.example\r\n")}) {
      EXPECT_EQ(status_of(head(path, foreign)), 403) << path << ' ' << foreign;
    }
    for (const std::string& own :
         {std::string(), "Sec-Fetch-Site: same-origin\r\n" + image,
          std::string("Sec-Fetch-Site: none\r\n"), "Sec-Fetch-Site: cross-site\r\n" + link,
          std::string("Referer: http://localhost:8080/\r\n")}) {
      const std::string answer = head(path, own);
      EXPECT_EQ(status_of(answer), 200) << path << ' ' << own;
      EXPECT_TRUE(contains(answer, policy + "same-origin\r\n")) << path << ' ' << answer;
    }
    const std::string allowed =
        head(path, "Sec-Fetch-Site: cross-site\r\nReferer: http://dash.example:8123/\r\n" + image);
    EXPECT_EQ(status_of(allowed), 200) << path;
    EXPECT_TRUE(contains(allowed, policy + "cross-origin\r\n")) << path << ' ' << allowed;
  }
  EXPECT_EQ(status_of(head("/", "Referer: http://elsewhere.example/\r\n")), 200) << "a link";
  EXPECT_TRUE(contains(head("/", ""), policy + "same-origin\r\n"));
  EXPECT_THROW(RawWebSocket(port, "Sec-Fetch-Site: cross-site\r\n"), std::runtime_error);
  EXPECT_EQ(status_of_run("--port 0 --allow-origin http://dash.example/"), 1);
  EXPECT_TRUE(contains(output(), "http://dash.example/: expected a site")) << output();
}

TEST_F(ClientTest, IdleSocketsOfOneClientKeepNobodyAway) {
  const auto camera = start(kNowhere, {"--source", "test-pattern"});
  std::vector<std::unique_ptr<RawSocket>> idle;
  for (int i = 0; i < 200; ++i) idle.push_back(std::make_unique<RawSocket>(camera->port()));
  for (const char* from : {kSelf, kOther}) {
    // What else the machine does only adds: of several answers the soonest counts.
    auto soonest = std::chrono::steady_clock::duration::max();
    for (int i = 0; i < 5; ++i) {
      const auto asked = std::chrono::steady_clock::now();
      EXPECT_EQ(status_of(http_get(camera->port(), "/", "", from)), 200) << from;
      soonest = std::min(soonest, std::chrono::steady_clock::now() - asked);
    }
    EXPECT_LE(soonest, Milliseconds(250)) << from;
  }
  std::vector<std::unique_ptr<RawWebSocket>> viewers;
  for (int i = 0; i < 32; ++i) viewers.push_back(std::make_unique<RawWebSocket>(camera->port()));
  EXPECT_EQ(http_get(camera->port(), "/"), "");
  EXPECT_EQ(status_of(http_get(camera->port(), "/", "", kOther)), 200);
}

TEST_F(ClientTest, AKeyOpensThePage) {
  write_file(folder / "key", "secret\n");
  const auto camera =
      start(kNowhere, {"--source", "test-pattern", "--page-key-file", (folder / "key").string()});
  const auto status = [&](const std::string& headers) {
    return status_of(http_get(camera->port(), "/", headers));
  };
  EXPECT_EQ(status(""), 401);
  EXPECT_EQ(status("Authorization: Bearer other\r\n"), 401);
  EXPECT_EQ(status("Authorization: Bearer secret\r\n"), 200);
  EXPECT_EQ(status("Authorization: Basic OnNlY3JldA==\r\n"), 200);  // ":secret"
  EXPECT_THROW(RawWebSocket(camera->port()), std::runtime_error);
  EXPECT_NO_THROW(RawWebSocket(camera->port(), "Authorization: Bearer secret\r\n"));
}

TEST_F(ClientTest, WrongKeysForThePageAreCountedLoggedAndSlowedDown) {
  write_file(folder / "key", "secret\n");
  const auto camera =
      start(kNowhere, {"--source", "test-pattern", "--page-key-file", (folder / "key").string()});
  const auto answer = [&](const std::string& key, const char* from) {
    return http_get(camera->port(), "/metrics", "Authorization: Bearer " + key + "\r\n", from);
  };
  for (const char* key : {"a", "b", "c", "d", "e", "f"}) {
    EXPECT_EQ(status_of(answer(key, kSelf)), 401) << key;
  }
  const std::string refused = answer("secret", kSelf);
  EXPECT_EQ(status_of(refused), 429);
  EXPECT_TRUE(contains(refused, "Retry-After: 1\r\n")) << refused;
  EXPECT_THROW(RawWebSocket(camera->port(), "Authorization: Bearer secret\r\n"),
               std::runtime_error);
  const std::string metrics = answer("secret", kOther);
  EXPECT_EQ(status_of(metrics), 200) << "others do not wait";
  EXPECT_TRUE(contains(metrics, "\nfastvlm_camera_wrong_keys_total 6\n")) << metrics;
  EXPECT_TRUE(contains(metrics, "\nfastvlm_camera_keys_refused_total 2\n")) << metrics;
  EXPECT_TRUE(
      wait_for([&] { return status_of(answer("secret", kSelf)) == 200; }, Milliseconds(5000)));
  EXPECT_EQ(camera->end(SIGTERM), 0);
  EXPECT_TRUE(contains(read_file(folder / "client.log"), "127.0.0.1:")) << "who it was";
}

}  // namespace
}  // namespace fvlm::capture
