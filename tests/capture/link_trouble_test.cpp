// Why there is no connection to a server: the words fit what happened, and say what helps.
#include "capture/link/link_trouble.hpp"

#include <gtest/gtest.h>

#include <boost/asio/error.hpp>
#include <string>

namespace fvlm::capture {
namespace {

const ServerName kServer{.host = "pc.local", .port = "5000"};

void expect_parts(const std::string& text, std::initializer_list<const char*> parts) {
  for (const char* part : parts) EXPECT_NE(text.find(part), std::string::npos) << text;
}

TEST(LinkTrouble, WhoDoesNotAnswerIsNamed) {
  namespace error = boost::asio::error;
  expect_parts(connect_trouble(kServer, error::connection_refused),
               {"no server listens on pc.local:5000", "fastvlm serve", "--server"});
  expect_parts(connect_trouble(kServer, error::host_not_found), {"the name pc.local", "--server"});
  expect_parts(connect_trouble(kServer, error::timed_out), {"pc.local:5000", "in this network"});
  expect_parts(connect_trouble({.host = "::1", .port = "5000"}, error::connection_refused),
               {"[::1]:5000"});
}

TEST(LinkTrouble, ARefusalSaysWhatTheServerWants) {
  ServerName server = kServer;
  expect_parts(status_trouble(server, 401, ""), {"asks for a key; --api-key-file gives one"});
  server.has_key = true;
  expect_parts(status_trouble(server, 401, ""), {"refuses our key", "--api-key-file"});
  expect_parts(status_trouble(server, 403, R"({"error":{"message":"localhost only"}})"),
               {"refuses this address (it says: localhost only)", "--open-to-all"});
  expect_parts(status_trouble(server, 404, "no\n"), {"no WebSocket there (it says: no)", "/ws"});
  expect_parts(status_trouble(server, 429, ""), {"full"});
  expect_parts(status_trouble(server, 503, ""), {"not ready", "503"});
  expect_parts(status_trouble(server, 301, ""), {"elsewhere", "wss://"});
  expect_parts(status_trouble(server, 200, "<html>"), {"HTTP 200 instead"});
}

TEST(LinkTrouble, TlsIsNamedIfThatIsIt) {
  ServerName server = kServer;
  expect_parts(handshake_trouble(server, ""), {"closed the connection", "wss://"});
  server.secure = true;
  expect_parts(handshake_trouble(server, "wrong version number"), {"speaks no TLS", "ws://"});
  expect_parts(handshake_trouble(server, "certificate verify failed"),
               {"not trusted", "--ca-file", "the name pc.local"});
  expect_parts(protocol_trouble(server), {"speaks no WebSocket", "another program"});
}

}  // namespace
}  // namespace fvlm::capture
