#include "net/http/http_parser.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/beast/http/string_body.hpp>
#include <charconv>
#include <ctime>
#include <limits>
#include <utility>

namespace fvlm::net {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using http::field;

namespace {

constexpr std::size_t kLongestHead = std::size_t{16} << 10;
constexpr std::size_t kLongestChunkHead = std::size_t{16} << 10;  // or trailers
constexpr std::string_view kLineEnd = "\r\n";
constexpr char kTooLong[] = "the body is longer than this server takes";

std::string_view view(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same(std::string_view left, std::string_view right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](char a, char b) { return lower(a) == lower(b); });
}

bool has_token(std::string_view list, std::string_view token) {
  const http::token_list tokens{boost::beast::string_view(list.data(), list.size())};
  return std::any_of(tokens.begin(), tokens.end(),
                     [&](const auto& each) { return same(view(each), token); });
}

// Characters of a Host header: those of RFC 3986's authority. What it names is checked elsewhere.
bool may_be_authority(std::string_view text) {
  constexpr std::string_view kOther = "-._~%!$&'()*+,;=:@[]";
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9') ||
           kOther.find(c) != kOther.npos;
  });
}

// As RFC 9110 (5.6.7) has it, whatever the locale: "Fri, 27 Nov 2026 03:10:00 GMT".
std::string http_date() {
  constexpr std::array<const char*, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array<const char*, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT",
                     kDays.at(static_cast<std::size_t>(utc.tm_wday)), utc.tm_mday,
                     kMonths.at(static_cast<std::size_t>(utc.tm_mon)), 1900 + utc.tm_year,
                     utc.tm_hour, utc.tm_min, utc.tm_sec);
}

}  // namespace

struct HttpParser::Message : http::request_parser<http::string_body> {};

HttpParser::HttpParser(std::size_t max_body_bytes) : max_body_bytes_(max_body_bytes) {}
HttpParser::~HttpParser() = default;

HttpParser::Progress HttpParser::fail(int status, std::string message) {
  fault_ = {status, std::move(message)};
  return Progress::kFault;
}

HttpParser::Progress HttpParser::parse(std::string& bytes) {
  return in_body_ ? parse_body(bytes) : parse_head(bytes);
}

HttpParser::Progress HttpParser::find_end(std::string& bytes) {
  if (!begun_) {  // empty lines before a request are ignored (RFC 9112, 2.2)
    std::size_t empty = 0;
    while (bytes.compare(empty, kLineEnd.size(), kLineEnd) == 0) empty += kLineEnd.size();
    bytes.erase(0, empty);
    if (bytes.empty() || bytes == "\r") return Progress::kMore;
    begun_ = true;
    scanned_ = 0;
    request_ = {};
    if (bytes[0] <= ' ' || bytes[0] > '~') return fail(400, "this is not HTTP");
  }
  for (; scanned_ < bytes.size(); ++scanned_) {
    const char c = bytes[scanned_];
    const char before = scanned_ > 0 ? bytes[scanned_ - 1] : '\0';
    if ((c == '\n') != (before == '\r')) return fail(400, "a line must end in CR and LF");
    if (before == '\n' && (c == ' ' || c == '\t')) return fail(400, "a field's line is folded");
    if (c == '\n' &&
        bytes.compare(scanned_ - std::min<std::size_t>(scanned_, 3), 4, "\r\n\r\n") == 0) {
      head_end_ = scanned_ + 1;
      return Progress::kHead;
    }
    if (scanned_ == kLongestHead) {
      return bytes.find('\n') > scanned_ ? fail(414, "the request's target is too long")
                                         : fail(431, "the request's head is too long");
    }
  }
  return Progress::kMore;
}

// Beast knows 1.0 and 1.1 alone. A later minor version speaks 1.1 as well (RFC 9110, 2.5).
HttpParser::Progress HttpParser::check_request_line(std::string& head) {
  const std::size_t end = head.find(kLineEnd);
  constexpr std::string_view kPattern = " HTTP/1.1";
  const std::size_t at = end - std::min(end, kPattern.size());
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (head.compare(at, 6, kPattern, 0, 6) != 0 || !is_digit(head[at + 6]) || head[at + 7] != '.' ||
      !is_digit(head[at + 8])) {
    return fail(400, "the request line must end in HTTP/1.1");
  }
  if (head[at + 6] != '1') return fail(505, "HTTP/1.1 is spoken here");
  if (head[at + 8] > '1') head[at + 8] = '1';
  return Progress::kMore;
}

HttpParser::Progress HttpParser::parse_head(std::string& bytes) {
  if (const Progress found = find_end(bytes); found != Progress::kHead) return found;
  if (const Progress line = check_request_line(bytes); line != Progress::kMore) return line;
  message_ = std::make_unique<Message>();
  message_->header_limit(static_cast<std::uint32_t>(2 * kLongestHead));
  message_->body_limit(std::numeric_limits<std::uint64_t>::max());  // until the head is known
  error_code error;
  std::size_t taken = 0;
  while (!error && !message_->is_header_done()) {
    taken += message_->put(asio::buffer(bytes.data() + taken, head_end_ - taken), error);
  }
  bytes.erase(0, head_end_);
  if (error) return fail(400, "this request cannot be read: " + error.message());
  if (const Progress fields = check_fields(); fields != Progress::kHead) return fields;
  if (message_->content_length_remaining().value_or(0) > max_body_bytes_) {
    return fail(413, kTooLong);
  }
  head_.body_size = static_cast<std::size_t>(message_->content_length_remaining().value_or(0));
  message_->body_limit(max_body_bytes_);
  in_body_ = true;
  return Progress::kHead;
}

// Where its fields leave no doubt.
HttpParser::Progress HttpParser::check_fields() {
  const auto& fields = message_->get();
  for (const field single : {field::host, field::content_length, field::transfer_encoding,
                             field::authorization, field::origin, field::expect}) {
    if (fields.count(single) > 1) {
      return fail(400, std::string(view(to_string(single))) + " is there twice");
    }
  }
  head_ = {};
  head_.http_1_1 = fields.version() == 11;
  head_.keep_alive = message_->keep_alive();
  if (head_.http_1_1 && fields.count(field::host) == 0) return fail(400, "Host is missing");
  if (!may_be_authority(view(fields[field::host]))) return fail(400, "Host is not a host");
  if (fields.count(field::transfer_encoding) > 0) {
    if (!head_.http_1_1) return fail(400, "HTTP/1.0 has no Transfer-Encoding");
    if (const Progress wrong = check_coding(); wrong != Progress::kMore) return wrong;
  }
  if (head_.http_1_1 && fields.count(field::expect) > 0) {
    if (!same(view(fields[field::expect]), "100-continue")) {
      return fail(417, "100-continue is all that a request may expect here");
    }
    head_.expects_continue = true;
  }
  head_.has_body = !message_->is_done();
  const std::string_view coding = view(fields[field::content_encoding]);
  head_.is_encoded = head_.has_body && !coding.empty() && !same(coding, "identity");
  if (message_->upgrade() && has_token(view(fields[field::upgrade]), "websocket")) {
    head_.wants_websocket = true;
    head_.websocket_version = view(fields[field::sec_websocket_version]);
    head_.websocket_key = view(fields[field::sec_websocket_key]);
  }
  return read_request();
}

// Only a body whose last coding is chunked has an end (RFC 9112, 6.3).
HttpParser::Progress HttpParser::check_coding() {
  const std::string_view codings = view(message_->get()[field::transfer_encoding]);
  constexpr std::string_view kChunked = "chunked";
  if (same(codings, kChunked)) return Progress::kMore;
  const std::size_t last = codings.find_last_of(", \t") + 1;
  if (!same(codings.substr(last), kChunked) || has_token(codings.substr(0, last), kChunked)) {
    return fail(400, "Transfer-Encoding must end in chunked, once");
  }
  return fail(501, "chunked is the only Transfer-Encoding understood here");
}

HttpParser::Progress HttpParser::read_request() {
  const auto& fields = message_->get();
  const auto text = [&fields](const auto& name) { return std::string(view(fields[name])); };
  // A list may have several lines.
  const auto all = [&fields](boost::beast::string_view name) {
    std::string list;
    const auto [first, last] = fields.equal_range(name);
    for (auto each = first; each != last; ++each) {
      if (each != first) list += ", ";
      list += view(each->value());
    }
    return list;
  };
  request_ = {};
  request_.method = view(fields.method_string());
  request_.host = text(field::host);
  request_.origin = text(field::origin);
  request_.referer = text(field::referer);
  request_.fetch_site = text("Sec-Fetch-Site");
  request_.fetch_mode = text("Sec-Fetch-Mode");
  request_.fetch_dest = text("Sec-Fetch-Dest");
  request_.fetch_user = text("Sec-Fetch-User");
  request_.authorization = text(field::authorization);
  request_.subprotocols = all("Sec-WebSocket-Protocol");
  request_.forwarded_for = all("X-Forwarded-For");
  request_.forwarded = all("Forwarded");
  request_.request_id = text("X-Request-Id");
  request_.asked_headers = text(field::access_control_request_headers);
  request_.asks_private_network = text("Access-Control-Request-Private-Network") == "true";
  return read_target();
}

// The four forms of RFC 9112, 3.2.
HttpParser::Progress HttpParser::read_target() {
  std::string_view target = view(message_->get().target());
  const auto wrong = [this] { return fail(400, "the request's target is wrong"); };
  const bool printable = std::all_of(target.begin(), target.end(),
                                     [](char c) { return c > ' ' && c <= '~' && c != '#'; });
  if (!printable) return wrong();
  if (request_.method == "CONNECT" || (request_.method == "OPTIONS" && target == "*")) {
    request_.path = target;
    return Progress::kHead;
  }
  if (target.front() != '/') {  // a URL, whose host counts
    const std::size_t host = target.find("://");
    if (host == target.npos) return wrong();
    const std::string_view scheme = target.substr(0, host);
    if (!same(scheme, "http") && !same(scheme, "https")) return wrong();
    target.remove_prefix(host + 3);
    const std::size_t path = std::min(target.find_first_of("/?"), target.size());
    if (path == 0 || target.substr(0, path).find('@') != target.npos) return wrong();
    request_.host = target.substr(0, path);
    target.remove_prefix(path);
  }
  request_.path = target.substr(0, target.find('?'));
  if (request_.path.empty()) request_.path = "/";
  return Progress::kHead;
}

HttpParser::Progress HttpParser::parse_body(std::string& bytes) {
  // The shortest rest of a chunked body is "0", two line ends; of less Beast's assertions fail.
  const std::size_t least = message_->chunked() ? 5 : 1;
  error_code error;
  std::size_t taken = 0;
  while (!error && !message_->is_done() && bytes.size() - taken >= least) {
    taken += message_->put(asio::buffer(bytes.data() + taken, bytes.size() - taken), error);
  }
  bytes.erase(0, taken);
  if (error == http::error::body_limit) return fail(413, kTooLong);
  if (error && error != http::error::need_more) {
    return fail(400, "this body cannot be read: " + error.message());
  }
  if (!message_->is_done()) {
    if (bytes.size() > kLongestChunkHead) return fail(400, "a chunk's head is too long");
    return Progress::kMore;
  }
  request_.body = std::move(message_->get().body());
  message_.reset();
  in_body_ = false;
  begun_ = false;
  return Progress::kWhole;
}

std::size_t HttpParser::received() const {
  return message_ != nullptr ? message_->get().body().size() : request_.body.size();
}

std::string response_head(const HttpResponse& response, const ResponseFraming& framing) {
  using Body = ResponseFraming::Body;
  const auto reason = http::obsolete_reason(static_cast<http::status>(response.status));
  std::string head = "HTTP/1.1 " + std::to_string(response.status) + " ";
  head += view(reason);
  head += "\r\nDate: " + http_date() + "\r\nServer: fastvlm\r\n";
  if (!response.content_type.empty()) head += "Content-Type: " + response.content_type + "\r\n";
  for (const auto& [name, value] : response.headers) head += name + ": " + value + "\r\n";
  if (!framing.request_id.empty()) head += "X-Request-Id: " + framing.request_id + "\r\n";
  if (framing.body == Body::kChunks) head += "Transfer-Encoding: chunked\r\n";
  if (framing.body == Body::kLength && response.status != 204) {
    head += "Content-Length: " + std::to_string(response.body.size()) + "\r\n";
  }
  if (!framing.keep_alive) {
    head += "Connection: close\r\n";
  } else if (!framing.http_1_1) {
    head += "Connection: keep-alive\r\n";
  }
  return head + "\r\n";
}

std::string chunk_head(std::size_t size) {
  std::array<char, 2 * sizeof size> digits{};
  const auto end = std::to_chars(digits.begin(), digits.end(), size, 16).ptr;
  return std::string(digits.begin(), end) + "\r\n";
}

}  // namespace fvlm::net
