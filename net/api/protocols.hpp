// The paths to which programs post what they want answered, and who reads it there.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "net/api/chat_request.hpp"
#include "net/api/fields.hpp"

namespace fvlm::net {

struct Protocol {
  std::string_view path;
  const char* prompt;  // the field that what is wrong with a prompt is said of
  Read<ApiRequest> (*read)(std::string_view body, const ChatLimits& limits);
};

std::span<const Protocol> protocols();
// Null if there is none.
const Protocol* protocol_of(std::string_view path);

// Reads a request; one with more images than a context can hold is refused.
Read<ApiRequest> read_request(const Protocol& protocol, std::string_view body,
                              const ChatLimits& limits);

}  // namespace fvlm::net
