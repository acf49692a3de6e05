// The WebSocket subprotocol of our pages (RFC 6455, 1.9). A browser's script can set no header of a
// handshake but Sec-WebSocket-Protocol: there a page offers "fastvlm", which is accepted, and
// beside it "fastvlm.key." with its API key, percent-encoded, which is read and never sent back.
#pragma once

#include <string>
#include <string_view>

namespace fvlm::net {

inline constexpr std::string_view kSubprotocol = "fastvlm";

// Whether a Sec-WebSocket-Protocol header, several of them as one list, offers it.
bool offers_subprotocol(std::string_view offered);
// The key in such a list; empty if there is none.
std::string key_offered(std::string_view offered);

}  // namespace fvlm::net
