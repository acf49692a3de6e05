#include "net/api/protocols.hpp"

#include <algorithm>
#include <array>

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

}  // namespace fvlm::net
