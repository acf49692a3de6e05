// Requests of HTTP and frames of WebSockets, as a stranger would send them. However the bytes are
// cut in two, what is read is the same.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <variant>

#include "net/http/http_parser.hpp"
#include "net/http/websocket.hpp"

namespace {

using fvlm::net::FrameReader;
using fvlm::net::HttpParser;

constexpr std::size_t kMost = 1000;

// What a parser makes of the first bytes, then of the others, as text.
std::string requests_in(std::string_view sent, std::size_t cut) {
  HttpParser parser(kMost);
  std::string found;
  std::string bytes(sent.substr(0, cut));
  for (const std::string_view rest : {sent.substr(cut), std::string_view()}) {
    HttpParser::Progress progress = HttpParser::Progress::kHead;
    while (progress != HttpParser::Progress::kMore) {
      progress = parser.parse(bytes);
      if (progress == HttpParser::Progress::kFault) return found + "fault";
      if (progress != HttpParser::Progress::kWhole) continue;
      const auto& request = parser.request();
      found += request.method + ' ' + request.host + request.path + '\n' + request.body + '\n';
    }
    bytes += rest;
  }
  return found;
}

std::string frames_in(std::string_view sent, std::size_t cut) {
  FrameReader reader(fvlm::net::Side::kServer, kMost);
  std::string found;
  std::string bytes(sent.substr(0, cut));
  for (const std::string_view more : {sent.substr(cut), std::string_view()}) {
    std::string_view rest = bytes;
    for (auto result = reader.next(rest); !std::holds_alternative<std::monostate>(result);
         result = reader.next(rest)) {
      if (const auto* fault = std::get_if<FrameReader::Fault>(&result)) {
        return found + std::to_string(fault->code);
      }
      const auto& message = std::get<FrameReader::Message>(result);
      found += std::to_string(static_cast<int>(message.opcode)) + message.payload;
    }
    bytes = std::string(rest) + std::string(more);
  }
  return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view sent(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t cut = std::min<std::size_t>(data[0], sent.size());
  if (requests_in(sent, cut) != requests_in(sent, sent.size())) std::abort();
  if (frames_in(sent, cut) != frames_in(sent, sent.size())) std::abort();
  return 0;
}
