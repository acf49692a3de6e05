// What is done with each keyword of JSON Schema (drafts 7 to 2020-12, and OpenAPI's additions).
#pragma once

#include <cstdint>
#include <string_view>

namespace fvlm {

enum class KeywordUse : std::uint8_t {
  kUnsupported,  // refused by name
  kIgnored,      // an annotation: it says nothing about which values are valid
  kApplied,
};

KeywordUse use_of(std::string_view keyword);

}  // namespace fvlm
