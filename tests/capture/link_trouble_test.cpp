// Why there is no connection to a server: the words fit what happened, and say what helps.
#include "capture/link/link_trouble.hpp"

#include <gtest/gtest.h>

#include <boost/asio/error.hpp>
#include <set>
#include <string>

namespace fvlm::capture {
namespace {

const ServerName kServer{.host = "pc.local", .port = "5000"};

void expect_trouble(Cause cause, const Trouble& trouble, std::initializer_list<const char*> parts) {
  EXPECT_STREQ(name_of(trouble.cause), name_of(cause)) << trouble.text;
  for (const char* part : parts) {
    EXPECT_NE(trouble.text.find(part), std::string::npos) << trouble.text;
  }
}

TEST(LinkTrouble, WhoDoesNotAnswerIsNamed) {
  namespace error = boost::asio::error;
  expect_trouble(Cause::kNoServer, connect_trouble(kServer, error::connection_refused),
                 {"no server listens on pc.local:5000", "fastvlm serve", "--server"});
  expect_trouble(Cause::kUnknownName, connect_trouble(kServer, error::host_not_found),
                 {"the name pc.local", "--server"});
  expect_trouble(Cause::kUnreachable, connect_trouble(kServer, error::timed_out),
                 {"pc.local:5000", "in this network"});
  expect_trouble(Cause::kNoServer,
                 connect_trouble({.host = "::1", .port = "5000"}, error::connection_refused),
                 {"[::1]:5000"});
}

TEST(LinkTrouble, ARefusalSaysWhatTheServerWants) {
  ServerName server = kServer;
  expect_trouble(Cause::kNoKey, status_trouble(server, 401, ""),
                 {"asks for a key; --api-key-file gives one"});
  server.has_key = true;
  expect_trouble(Cause::kWrongKey, status_trouble(server, 401, ""),
                 {"refuses our key", "--api-key-file"});
  expect_trouble(Cause::kRefused,
                 status_trouble(server, 403, R"({"error":{"message":"localhost only"}})"),
                 {"refuses this address (it says: localhost only)", "--open-to-all"});
  expect_trouble(Cause::kNoWebSocket, status_trouble(server, 404, "no\n"),
                 {"no WebSocket there (it says: no)", "/ws"});
  expect_trouble(Cause::kFull, status_trouble(server, 429, ""), {"full"});
  expect_trouble(Cause::kNotReady, status_trouble(server, 503, ""), {"not ready", "503"});
  expect_trouble(Cause::kElsewhere, status_trouble(server, 301, ""), {"elsewhere", "wss://"});
  expect_trouble(Cause::kOtherProgram, status_trouble(server, 200, "<html>"), {"HTTP 200 instead"});
}

TEST(LinkTrouble, TlsIsNamedIfThatIsIt) {
  ServerName server = kServer;
  expect_trouble(Cause::kNoHandshake, handshake_trouble(server, ""),
                 {"closed the connection", "wss://"});
  server.secure = true;
  expect_trouble(Cause::kNoTls, handshake_trouble(server, "wrong version number"),
                 {"speaks no TLS", "ws://"});
  expect_trouble(Cause::kUntrusted, handshake_trouble(server, "certificate verify failed"),
                 {"not trusted", "--ca-file", "the name pc.local"});
  expect_trouble(Cause::kOtherProgram, protocol_trouble(server),
                 {"speaks no WebSocket", "another program"});
}

TEST(LinkTrouble, EachCauseHasANameOfItsOwn) {
  std::set<std::string> names;
  for (const CauseName& each : kCauses) names.insert(each.name);
  EXPECT_EQ(names.size(), kCauses.size());
  EXPECT_EQ(kCauses.size(), static_cast<std::size_t>(Cause::kNoAnswer) + 1);
}

}  // namespace
}  // namespace fvlm::capture
