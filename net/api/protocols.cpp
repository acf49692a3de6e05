#include "net/api/protocols.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <variant>

#include "net/api/completion.hpp"
#include "net/api/ollama_request.hpp"
#include "net/api/openai_request.hpp"
#include "net/api/responses_request.hpp"

namespace fvlm::net {
namespace {

constexpr std::array kProtocols = {
    Protocol{"/v1/chat/completions", "messages", &read_chat_request},
    Protocol{"/v1/completions", "prompt", &read_completion},
    Protocol{"/v1/responses", "input", &read_response_request},
    Protocol{"/api/chat", "messages", &read_ollama_chat},
    Protocol{"/api/generate", "prompt", &read_ollama_generate},
};

}  // namespace

std::span<const Protocol> protocols() {
  return kProtocols;
}

const Protocol* protocol_of(std::string_view path) {
  const auto found = std::ranges::find(kProtocols, path, &Protocol::path);
  return found == kProtocols.end() ? nullptr : &*found;
}

Read<ApiRequest> read_request(const Protocol& protocol, std::string_view body,
                              const ChatLimits& limits) {
  auto read = protocol.read(body, limits);
  const auto* request = std::get_if<ApiRequest>(&read);
  if (request == nullptr) return read;
  std::int64_t images = 0;
  for (const ChatTurn& turn : request->chat.turns) images += std::ssize(turn.images);
  if (images * limits.tokens_of_image <= limits.context_tokens) return read;
  return wrong(protocol.prompt,
               fmt::format("{} images of {} tokens each do not fit into a context of {}", images,
                           limits.tokens_of_image, limits.context_tokens));
}

}  // namespace fvlm::net
