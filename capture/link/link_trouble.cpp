#include "capture/link/link_trouble.hpp"

#include <fmt/format.h>

#include <boost/asio/error.hpp>

#include "net/protocol/json.hpp"

namespace fvlm::capture {
namespace {

namespace asio = boost::asio;

// What the server says itself: the message of an API's error, or a line of text; " (...)" or empty.
std::string quoted(const std::string& body) {
  constexpr std::size_t kLongest = 200;
  std::string text = body.substr(0, body.find_first_of("\r\n"));
  const auto parsed = net::parse_object(body);
  if (parsed.problem.empty()) {
    const auto error = parsed.object.find("error");
    if (error == parsed.object.end() || !error->is_object()) return "";
    const auto message = error->find("message");
    if (message == error->end() || !message->is_string()) return "";
    text = message->get<std::string>();
  }
  if (text.empty() || text.size() > kLongest || text.front() == '<') return "";
  return fmt::format(" (it says: {})", text);
}

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

std::string place_of(const ServerName& server) {
  const bool v6 = server.host.find(':') != std::string::npos;
  return v6 ? fmt::format("[{}]:{}", server.host, server.port)
            : fmt::format("{}:{}", server.host, server.port);
}

Trouble connect_trouble(const ServerName& server, const boost::system::error_code& error) {
  const std::string place = place_of(server);
  if (error == asio::error::connection_refused) {
    return {Cause::kNoServer, fmt::format("no server listens on {}; start one there (fastvlm "
                                          "serve), or name another with --server",
                                          place)};
  }
  if (error == asio::error::host_not_found || error == asio::error::no_data) {
    return {Cause::kUnknownName,
            fmt::format("the name {} has no address; is --server spelled rightly?", server.host)};
  }
  if (error == asio::error::host_not_found_try_again) {
    return {Cause::kNoNetwork,
            fmt::format("the name {} cannot be looked up now; is there a network?", server.host)};
  }
  if (error == asio::error::timed_out || error == asio::error::host_unreachable ||
      error == asio::error::network_unreachable) {
    return {Cause::kUnreachable, fmt::format("{} cannot be reached: {}; is that machine on, and in "
                                             "this network, and --server right?",
                                             place, error.message())};
  }
  return {Cause::kUnreachable, fmt::format("{} cannot be reached: {}", place, error.message())};
}

Trouble handshake_trouble(const ServerName& server, const std::string& why) {
  const std::string place = place_of(server);
  if (contains(why, "certificate verify failed")) {
    return {
        Cause::kUntrusted,
        fmt::format("the certificate of {} is not trusted ({}): it must be for the name {}, valid "
                    "today, and "
                    "vouched for by whom the system trusts, or by the certificates of --ca-file",
                    place, why, server.host)};
  }
  if (contains(why, "wrong version number") || contains(why, "packet length too long") ||
      contains(why, "http request")) {
    return {Cause::kNoTls, fmt::format("{} speaks no TLS ({}); try ws:// in --server", place, why)};
  }
  const std::string how = why.empty() ? "" : ": " + why;
  if (server.secure)
    return {Cause::kTlsFailed, fmt::format("no TLS connection to {}{}", place, how)};
  return {Cause::kNoHandshake, fmt::format("{} closed the connection before it answered{}; has it "
                                           "too many connections, or does it want "
                                           "wss://?",
                                           place, how)};
}

Trouble status_trouble(const ServerName& server, int status, const std::string& body) {
  const std::string place = place_of(server);
  const std::string said = quoted(body);
  switch (status) {
    case 301:
    case 302:
    case 307:
    case 308:
      return {Cause::kElsewhere,
              fmt::format("{} sends us elsewhere (HTTP {}); {}", place, status,
                          server.secure ? "name that address with --server"
                                        : "try wss:// in --server, or name that address")};
    case 401:
      if (!server.has_key) {
        return {Cause::kNoKey,
                fmt::format("the server {} asks for a key; --api-key-file gives one", place)};
      }
      return {Cause::kWrongKey,
              fmt::format("the server {} refuses our key{}; --api-key-file must name its key",
                          place, said)};
    case 403:
      return {Cause::kRefused,
              fmt::format("the server {} refuses this address{}; a fastvlm server that other "
                          "machines may use is "
                          "started with --api-key-file FILE, or with --open-to-all",
                          place, said)};
    case 404:
      return {Cause::kNoWebSocket,
              fmt::format("the server {} has no WebSocket there{}; a fastvlm server's is "
                          "--server {}://{}/ws",
                          place, said, server.secure ? "wss" : "ws", place)};
    case 429:
      return {Cause::kFull,
              fmt::format("the server {} lets us wait{}: it is full, or had too many wrong keys",
                          place, said)};
    case 502:
    case 503:
    case 504:
      return {Cause::kNotReady,
              fmt::format("the server {} is not ready{}: it starts, stops or is full (HTTP {})",
                          place, said, status)};
    default:
      return {Cause::kOtherProgram,
              fmt::format("the server {} answers HTTP {}{} instead of opening a WebSocket; is it a "
                          "fastvlm server's address?",
                          place, status, said)};
  }
}

Trouble protocol_trouble(const ServerName& server) {
  return {Cause::kOtherProgram,
          fmt::format("{} answers, but speaks no WebSocket; is it another program's port?",
                      place_of(server))};
}

}  // namespace fvlm::capture
