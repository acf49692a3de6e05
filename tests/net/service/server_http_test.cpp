// The server as a citizen of HTTP: every failure is an error in the shape of OpenAI's API, pages of
// allowed origins may use it (CORS), and connections are kept.
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "net/api/protocols.hpp"
#include "net/service/routes.hpp"
#include "tests/net/service/server_fixture.hpp"

namespace fvlm {
namespace {

const std::string kLocal = "Host: localhost\r\n";

class ServerHttp : public ServerTest {
 protected:
  std::string ask(const std::string& line, const std::string& headers = "",
                  const std::string& body = "") const {
    return http(port(), line + " HTTP/1.1\r\n" + kLocal + headers + "\r\n" + body);
  }
  static std::string chat(bool stream) {
    return json{{"model", "checkpoint"},
                {"max_tokens", 2},
                {"stream", stream},
                {"messages", {{{"role", "user"}, {"content", "hello"}}}}}
        .dump();
  }
};

TEST_F(ServerHttp, EveryFailureIsAnErrorInTheShapeOfTheApi) {
  start({.transport = {.max_body_bytes = 1000, .header_timeout = std::chrono::milliseconds(300)}});
  struct Failure {
    std::string sent;
    int status;
  };
  const std::string evil = "Origin: http://evil.example\r\n";
  const std::string upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
  const std::string key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  for (const auto& [sent, status] : std::vector<Failure>{
           {"rubbish\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\n" + kLocal + "X : y\r\n\r\n", 400},
           {"POST / HTTP/1.1\r\n" + kLocal + "Transfer-Encoding: chunked\r\n\r\nx\r\n\r\n", 400},
           {"GET /livez HTTP/1.1\r\n" + kLocal + evil + "\r\n", 403},
           {"GET /livez HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403},
           {"GET /nothing HTTP/1.1\r\n" + kLocal + "\r\n", 404},
           {"GET /static/nothing HTTP/1.1\r\n" + kLocal + "\r\n", 404},
           {"GET /v1/nothing HTTP/1.1\r\n" + kLocal + "\r\n", 404},
           {"GET /v1/models/nothing HTTP/1.1\r\n" + kLocal + "\r\n", 404},
           {"POST / HTTP/1.1\r\n" + kLocal + "\r\n", 405},
           {"CONNECT a:1 HTTP/1.1\r\n" + kLocal + "\r\n", 405},
           {"DELETE /v1/models HTTP/1.1\r\n" + kLocal + "\r\n", 405},
           {"GET / HTTP/1.1\r\nHost: loc", 408},
           {"POST / HTTP/1.1\r\n" + kLocal + "Content-Length: 1001\r\n\r\n", 413},
           {"GET /" + std::string(20'000, 'x') + " HTTP/1.1\r\n", 414},
           {"GET / HTTP/1.1\r\n" + kLocal + "Expect: tea\r\n\r\n", 417},
           {"POST /chat/completions HTTP/1.1\r\n" + kLocal + "Content-Length: 0\r\n\r\n", 404},
           {"POST /livez HTTP/1.1\r\n" + kLocal + "Content-Length: 0\r\n\r\n", 405},
           {"GET /ws HTTP/1.1\r\n" + kLocal + "\r\n", 426},
           {"GET /ws HTTP/1.1\r\n" + kLocal + upgrade + key + "\r\n", 426},
           {"GET /other HTTP/1.1\r\n" + kLocal + upgrade + key +
                "Sec-WebSocket-Version: 13\r\n\r\n",
            404},
           {"GET / HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n", 431},
           {"BREW / HTTP/1.1\r\n" + kLocal + "\r\n", 501},
           {"POST / HTTP/1.1\r\n" + kLocal + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
           {"GET / HTTP/2.0\r\n" + kLocal + "\r\n", 505}}) {
    const std::string answer = http(port(), sent);
    EXPECT_EQ(status_of(answer), status) << sent.substr(0, 100);
    EXPECT_TRUE(contains(answer, "\r\nContent-Type: application/json\r\n")) << answer;
    const json error = json::parse(body_of(answer), nullptr, false)["error"];
    EXPECT_FALSE(error["message"].get<std::string>().empty()) << answer;
    EXPECT_TRUE(error["code"].is_string()) << answer;
    EXPECT_EQ(error["type"], "invalid_request_error") << answer;
    if (status == 405) {
      EXPECT_TRUE(contains(answer, "\r\nAllow: ")) << answer;
    }
    if (status == 426) {
      EXPECT_TRUE(contains(answer, "\r\nUpgrade: websocket\r\n")) << answer;
    }
  }
}

TEST_F(ServerHttp, WithoutTheKeyNoBodyIsRead) {
  start({.access = {.key = "secret"}});
  for (const char* path : {"/v1/chat/completions", "/nothing"}) {
    RawSocket client(port());
    client.send("POST " + std::string(path) + " HTTP/1.1\r\n" + kLocal +
                "Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n");
    const std::string answer = client.read_all();
    EXPECT_EQ(status_of(answer), 401);
    EXPECT_EQ(json::parse(body_of(answer), nullptr, false)["error"]["code"], "invalid_api_key");
  }
  EXPECT_TRUE(contains(http_get(port(), "/v1/models"), "\r\nWWW-Authenticate: Bearer\r\n"));
  EXPECT_TRUE(contains(http_get(port(), "/metrics"), "\r\nWWW-Authenticate: Basic realm="));
}

TEST_F(ServerHttp, ThePageIsFilesOfItsOwnAndMayLoadNoOthers) {
  start();
  const std::string page = http_get(port(), "/");
  EXPECT_TRUE(contains(page, "\r\nContent-Type: text/html; charset=utf-8\r\n"));
  EXPECT_TRUE(contains(page, "\r\nContent-Security-Policy: default-src 'self'; "));
  EXPECT_TRUE(contains(page, "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"));
  const std::string sample = http_get(port(), "/static/0008.jpg");
  EXPECT_TRUE(contains(sample, "\r\nContent-Type: image/jpeg\r\n"));
  EXPECT_EQ(body_of(sample),
            read_file(std::filesystem::path(FVLM_SOURCE) / "tools/demo/images/0008.jpg"));
}

TEST_F(ServerHttp, HeadIsGetWithoutItsBody) {
  start();
  for (const char* path : {"/", "/livez", "/health", "/static/app.js", "/v1/models", "/nothing"}) {
    const std::string get = ask("GET " + std::string(path));
    const std::string head = ask("HEAD " + std::string(path));
    EXPECT_EQ(status_of(head), status_of(get)) << path;
    EXPECT_EQ(body_of(head), "") << path;
    const std::string length = fmt::format("\r\nContent-Length: {}\r\n", body_of(get).size());
    EXPECT_TRUE(contains(head, length)) << head;
  }
}

// One table says what each path takes: OPTIONS, 405, 404 and the metrics' labels agree.
TEST_F(ServerHttp, OptionsSayWhatIsAllowed) {
  start({.chat = {.max_new_tokens = 2}});
  const auto allowed = [&](const std::string& path) {
    const std::string answer = ask("OPTIONS " + path);
    EXPECT_EQ(status_of(answer), 204) << path;
    EXPECT_FALSE(contains(answer, "Access-Control-")) << answer;
    const std::size_t at = answer.find("\r\nAllow: ");
    return at == answer.npos ? "" : answer.substr(at + 9, answer.find("\r\n", at + 2) - at - 9);
  };
  EXPECT_EQ(allowed("*"), "GET, HEAD, POST, OPTIONS");
  const std::string missing = json::parse(body_of(ask("GET /nothing")))["error"]["message"];
  for (const net::Route& route : net::routes()) {
    const std::string path(route.path);
    EXPECT_EQ(allowed(path), route.is_posted ? "POST, OPTIONS" : "GET, HEAD, OPTIONS") << path;
    EXPECT_TRUE(contains(missing, path)) << missing;
    const std::string post = ask("POST " + path, "Content-Length: 2\r\n", "{}");
    const std::string get = ask("GET " + path);
    const std::string& wrong = route.is_posted ? get : post;
    EXPECT_EQ(status_of(wrong), 405) << path;
    EXPECT_TRUE(contains(wrong, "\r\nAllow: " + allowed(path) + "\r\n")) << wrong;
    EXPECT_NE(status_of(route.is_posted ? post : get), 405) << path;
    await_metric("route=\"" + path + "\",code=\"405\"");
  }
  for (const net::Protocol& protocol : net::protocols()) {
    const net::Route* route = net::route_of(protocol.path);
    EXPECT_TRUE(route != nullptr && route->is_posted) << protocol.path;
  }
  EXPECT_EQ(allowed("/v1/models/x/y"), "GET, HEAD, OPTIONS");
  EXPECT_EQ(status_of(ask("GET /staticx")), 404);
}

TEST_F(ServerHttp, CompressedBodiesAreRefusedWithWhatToDo) {
  start();
  for (const char* coding : {"gzip", "deflate", "br", "zstd", "gzip, identity"}) {
    const std::string answer =
        ask("POST /v1/chat/completions",
            fmt::format("Content-Encoding: {}\r\nContent-Length: 4\r\n", coding), "\x1f\x8b\x08");
    EXPECT_EQ(status_of(answer), 415) << coding;
    const json error = json::parse(body_of(answer))["error"];
    EXPECT_TRUE(contains(error["message"], "send it as it is")) << error;
    EXPECT_EQ(error["code"], "unsupported_content_encoding");
  }
  const std::string ollama =
      ask("POST /api/chat", "Content-Encoding: gzip\r\nContent-Length: 4\r\n", "\x1f\x8b\x08");
  EXPECT_TRUE(json::parse(body_of(ollama))["error"].is_string()) << ollama;
  await_metric("fastvlm_http_requests_total{route=\"/api/chat\",code=\"415\",key=\"\"} 1\n");
  const std::string body = chat(false);
  EXPECT_EQ(
      status_of(ask(
          "POST /v1/chat/completions",
          fmt::format("Content-Encoding: identity\r\nContent-Length: {}\r\n", body.size()), body)),
      200);
}

TEST_F(ServerHttp, OneConnectionCarriesAllKindsOfAnswers) {
  start({.chat = {.max_new_tokens = 2}});
  RawSocket client(port());
  const auto next = [&](const std::string& request) {
    client.send(request);
    return read_response(client);
  };
  for (const bool stream : {false, true, false}) {
    const std::string body = chat(stream);
    EXPECT_EQ(status_of(next("GET /livez HTTP/1.1\r\n" + kLocal + "\r\n")), 200);
    const std::string answer = next("POST /v1/chat/completions HTTP/1.1\r\n" + kLocal +
                                    "Transfer-Encoding: chunked\r\n\r\n" +
                                    fmt::format("{:x}\r\n", body.size()) + body + "\r\n0\r\n\r\n");
    EXPECT_EQ(status_of(answer), 200);
    EXPECT_TRUE(stream ? answer.ends_with("data: [DONE]\n\n") : answer.ends_with("}")) << answer;
    EXPECT_EQ(status_of(next("GET /nothing HTTP/1.1\r\n" + kLocal + "\r\n")), 404);
  }
  await_metric("fastvlm_chats_total{outcome=\"answered\",route=\"/v1/chat/completions\"} 3\n");
}

// As OpenAI's client for JavaScript asks in a browser.
TEST_F(ServerHttp, PagesOfAllowedOriginsMaySendWhatTheyAskTo) {
  start({.access = {.key = "secret", .allowed_origins = {"https://a.example"}}});
  const std::string origin = "Origin: https://a.example\r\n";
  const std::string asked =
      "authorization,content-type,x-stainless-arch,x-stainless-lang,x-stainless-retry-count";
  const std::string answer =
      ask("OPTIONS /v1/chat/completions", origin + "Access-Control-Request-Method: POST\r\n" +
                                              "Access-Control-Request-Headers: " + asked + "\r\n");
  EXPECT_EQ(status_of(answer), 204);
  for (const char* field : {"Access-Control-Allow-Origin: https://a.example",
                            "Access-Control-Allow-Methods: GET, HEAD, POST",
                            "Access-Control-Max-Age: 7200", "Vary: Origin"}) {
    EXPECT_TRUE(contains(answer, fmt::format("\r\n{}\r\n", field))) << answer;
  }
  EXPECT_TRUE(contains(answer, "\r\nAccess-Control-Allow-Headers: " + asked + "\r\n")) << answer;
  EXPECT_FALSE(contains(answer, "Private-Network: true")) << answer;
  EXPECT_TRUE(contains(
      ask("OPTIONS /v1/models", origin + "Access-Control-Request-Private-Network: true\r\n"),
      "\r\nAccess-Control-Allow-Private-Network: true\r\n"));
  const std::string other =
      ask("OPTIONS /v1/chat/completions",
          "Origin: https://b.example\r\nAccess-Control-Request-Method: POST\r\n");
  EXPECT_EQ(status_of(other), 403);
  EXPECT_FALSE(contains(other, "Access-Control-Allow")) << other;
}

TEST_F(ServerHttp, PagesOfAllowedOriginsMayReadFailures) {
  start({.transport = {.max_body_bytes = 1000},
         .access = {.key = "secret", .allowed_origins = {"https://a.example"}}});
  const std::string key = "Authorization: Bearer secret\r\n";
  const auto head = [&](const std::string& line, const std::string& origin,
                        const std::string& headers) {
    return ask(line, "Origin: " + origin + "\r\n" + headers);
  };
  const std::string allowed = "\r\nAccess-Control-Allow-Origin: https://a.example\r\n";
  const std::string a = "https://a.example";
  const std::string b = "https://b.example";
  EXPECT_TRUE(contains(head("GET /v1/models", a, ""), allowed)) << "401";
  EXPECT_TRUE(contains(head("GET /v1/nothing", a, key), allowed)) << "404";
  EXPECT_TRUE(contains(head("POST /v1/models", a, key + "Content-Length: 1001\r\n"), allowed));
  EXPECT_TRUE(contains(head("GET /v1/models", a, key + "Expect: x\r\n"), "\r\n\r\n")) << "417";
  for (const std::string& answer :
       {head("GET /v1/models", b, key), head("POST /v1/models", b, "Content-Length: 1001\r\n"),
        ask("GET /v1/models", key)}) {
    EXPECT_FALSE(contains(answer, "Access-Control-Allow")) << answer;
    EXPECT_TRUE(contains(answer, "\r\nVary: Origin\r\n")) << answer;
  }
}

TEST_F(ServerHttp, AllIsBelowItsBasePath) {
  start({.transport = {.base_path = "vlm/"}, .live = {.max_new_tokens = 4}});
  EXPECT_EQ(body_of(ask("GET /vlm/livez")), "ok\n");
  EXPECT_EQ(status_of(ask("GET /vlm/v1/models")), 200);
  EXPECT_EQ(status_of(ask("GET http://localhost/vlm/static/app.js")), 200);
  EXPECT_EQ(status_of(ask("OPTIONS *")), 204);
  const std::string page = ask("GET /vlm/");
  EXPECT_EQ(status_of(page), 200);
  EXPECT_FALSE(contains(page, "=\"/")) << "a URL that leads out of it";
  const std::string moved = ask("GET /vlm?a");
  EXPECT_EQ(status_of(moved), 308);
  EXPECT_TRUE(contains(moved, "\r\nLocation: /vlm/\r\n")) << moved;
  for (const char* path : {"/", "/livez", "/vlmx/livez", "/vlm/vlm/livez"}) {
    EXPECT_EQ(status_of(ask("GET " + std::string(path))), 404) << path;
  }
  const std::string upgrade =
      "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  EXPECT_EQ(status_of(ask("GET /vlm/ws", upgrade)), 101);
  EXPECT_EQ(status_of(ask("GET /ws", upgrade)), 404);
  stop();
  const net::ServerOptions wrong{.transport = {.port = 0, .base_path = "/a b"}};
  EXPECT_TRUE(contains(error_of([&] { net::Server(*engine_, wrong); }), "--base-path /a b"));
}

TEST_F(ServerHttp, ATrustedProxysClientsCountSingly) {
  start({.transport = {.trusted_proxies = {"127.0.0.2"}, .max_connections_per_address = 1},
         .access = {.key = "secret", .free_wrong_keys = 1}});
  const auto status = [&](const char* from, const std::string& client, const std::string& key) {
    return status_of(
        http_get(port(), "/livez",
                 "X-Forwarded-For: " + client + "\r\nAuthorization: Bearer " + key + "\r\n", from));
  };
  for (const char* key : {"a", "b"}) EXPECT_EQ(status(kOther, "192.0.2.7", key), 401);
  EXPECT_EQ(status(kOther, "192.0.2.7", "secret"), 429);
  EXPECT_EQ(status(kOther, "192.0.2.8", "secret"), 200) << "another client of the proxy";
  EXPECT_EQ(status(kOther, "192.0.2.8, 192.0.2.7", "secret"), 429) << "what the proxy appended";
  // Who is no trusted proxy can neither hide behind another's address nor have it refused.
  for (const char* key : {"c", "d"}) EXPECT_EQ(status(kSelf, "192.0.2.9", key), 401);
  EXPECT_EQ(status(kSelf, "192.0.2.10", "secret"), 429);
  EXPECT_EQ(status(kOther, "192.0.2.9", "secret"), 200);
  // Its connections are not one client's.
  const RawWebSocket first(port(), "Authorization: Bearer secret\r\n", kOther);
  EXPECT_NO_THROW(RawWebSocket(port(), "Authorization: Bearer secret\r\n", kOther));
  stop();
  const net::ServerOptions wrong{.transport = {.port = 0, .trusted_proxies = {"proxy"}}};
  EXPECT_TRUE(contains(error_of([&] { net::Server(*engine_, wrong); }), "--trusted-proxy proxy"));
}

}  // namespace
}  // namespace fvlm
