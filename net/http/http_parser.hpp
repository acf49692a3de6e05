// Requests of HTTP/1.1 and 1.0 (RFC 9112) from the bytes of a connection, without a socket. The
// grammar of fields and chunks is Boost.Beast's; added is what it lets pass and RFC 9112 does not,
// above all where two readers of the same bytes could disagree on where a request ends (request
// smuggling): bare line feeds, folded lines, lengths named twice, unknown transfer codings.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "net/http/http.hpp"

namespace fvlm::net {

class HttpParser {
 public:
  enum class Progress {
    kMore,   // bytes are wanted
    kHead,   // the request's head is there
    kWhole,  // and its body
    kFault,  // fault() says what is wrong; where the next request begins is unknown
  };
  struct Fault {
    int status = 400;
    std::string message{};
  };
  // What a head says of the connection.
  struct Head {
    bool http_1_1 = true;
    bool keep_alive = true;         // RFC 9112, 9.3
    bool expects_continue = false;  // RFC 9110, 10.1.1
    bool has_body = false;
    bool is_encoded = false;       // the body, by Content-Encoding: compressed, say
    std::size_t body_size = 0;     // announced; 0: none, or chunks
    bool wants_websocket = false;  // Upgrade and Connection say so
    std::string websocket_version{};
    std::string websocket_key{};
  };

  explicit HttpParser(std::size_t max_body_bytes);
  ~HttpParser();

  // Takes from the front of `bytes`; each call after kWhole begins a new request.
  Progress parse(std::string& bytes);
  // Bytes of the body that have come.
  std::size_t received() const;
  // Whether bytes of a request have come that is not whole yet.
  bool begun() const { return begun_; }
  const Head& head() const { return head_; }
  const Fault& fault() const { return fault_; }
  // From kHead on, without a body until kWhole. Moved from, if the caller likes.
  HttpRequest& request() { return request_; }

 private:
  struct Message;

  Progress fail(int status, std::string message);
  Progress parse_head(std::string& bytes);
  Progress parse_body(std::string& bytes);
  // Whether the head's end was found; `head_end_` is where.
  Progress find_end(std::string& bytes);
  Progress check_request_line(std::string& head);
  Progress check_fields();
  Progress check_coding();
  Progress read_target();
  Progress read_request();

  std::size_t max_body_bytes_;
  std::unique_ptr<Message> message_;  // of Boost.Beast; none between requests
  bool begun_ = false;
  bool in_body_ = false;
  std::size_t scanned_ = 0;  // bytes of the head in which its end was sought
  std::size_t head_end_ = 0;
  Head head_{};
  Fault fault_{};
  HttpRequest request_{};
};

// The start line and fields of a response with `length` bytes of body, or as many as follow in
// chunks or until the connection's end.
struct ResponseFraming {
  enum class Body { kLength, kChunks, kUntilEnd } body = Body::kLength;
  bool http_1_1 = true;
  bool keep_alive = true;
  std::string request_id{};
};
std::string response_head(const HttpResponse& response, const ResponseFraming& framing);
// A chunk of a chunked body: what comes before and after its data.
std::string chunk_head(std::size_t size);

}  // namespace fvlm::net
