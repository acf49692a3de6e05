// The page on port 8080 from outside: viewers of the original system and of ours, other programs,
// and those who are kept out.
#include "tests/camera_client_fixture.hpp"
#include "tests/camera_jpeg.hpp"
#include "tests/raw_websocket.hpp"

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
  EXPECT_TRUE(
      CameraProgram::wait_for([&] { return camera->metric(described) >= 1; }, Milliseconds(5000)));
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
  EXPECT_TRUE(CameraProgram::wait_for(
      [&] { return contains(server.texts().back(), R"("prompt":"Which tree?")"); },
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
  const double before = camera->metric("process_resident_memory_bytes");
  for (int i = 0; i < 150; ++i) ASSERT_FALSE(next_binary(page).empty());
#ifndef FVLM_SANITIZED  // which keep what was freed
  EXPECT_LT(camera->metric("process_resident_memory_bytes") - before, 4e6);
#endif
}

TEST_F(ClientTest, OtherProgramsGetPicturesOverHttp) {
  CameraServer server(describe);
  const auto camera = start(server.url(), {"--source", "test-pattern:nv12", "--width", "320"});
  EXPECT_TRUE(CameraProgram::wait_for([&] { return !camera->get("/healthz").empty(); },
                                      Milliseconds(5000)));
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

TEST_F(ClientTest, HttpErrorsSayWhatIsWrong) {
  const auto camera = start(kNowhere, {"--source", "images:/nowhere"});
  const std::uint16_t port = camera->port();
  EXPECT_EQ(status_of(http_get(port, "/")), 200);
  EXPECT_EQ(status_of(http_get(port, "/nothing")), 404);
  EXPECT_EQ(status_of(http(port, "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")), 405);
  EXPECT_TRUE(CameraProgram::wait_for(
      [&] { return contains(http_get(port, "/snapshot.jpg"), "/nowhere: No such file"); },
      Milliseconds(2000)));
  EXPECT_EQ(status_of(http_get(port, "/healthz")), 503);
  RawWebSocket page(port);
  page.send(RawWebSocket::kText, R"({"type":"configure","binary":true})");
  EXPECT_TRUE(contains(next_text_with(page, "state"), "/nowhere: No such file"));
}

TEST_F(ClientTest, StrangersAreKeptOut) {
  write_file(folder / "key", "secret\n");
  const auto open = start(kNowhere, {"--source", "test-pattern"});
  EXPECT_EQ(status_of(http(open->port(), "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")), 403);
  EXPECT_EQ(status_of(http_get(open->port(), "/metrics", "Origin: http://evil.example\r\n")), 403);
  EXPECT_THROW(RawWebSocket(open->port(), "Origin: http://evil.example\r\n"), std::runtime_error);
  const auto locked =
      start(kNowhere, {"--source", "test-pattern", "--open-to-all", "--host", "0.0.0.0"});
  EXPECT_EQ(status_of(http(locked->port(), "GET / HTTP/1.1\r\nHost: pi.local\r\n\r\n")), 200);
  EXPECT_EQ(status_of_run("--host 0.0.0.0 --port 0"), 1);
  EXPECT_TRUE(contains(output(), "--page-key-file")) << output();
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

}  // namespace
}  // namespace fvlm::capture
