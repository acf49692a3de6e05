#include "net/api/answer_format.hpp"

#include <array>

namespace fvlm::net {
namespace {

constexpr std::array kAnswerFormatFields = {
    KnownField{"response_format", R"([{"type": "text"}])"},
    KnownField{"tools", "[[]]"},
    KnownField{"tool_choice", R"(["none", "auto"])"},
    KnownField{"parallel_tool_calls", kAnything, "there are no calls"},
    KnownField{"functions", "[[]]"},
    KnownField{"function_call", R"(["none", "auto"])"},
    KnownField{"guided_json", "[]"},
    KnownField{"guided_regex", "[]"},
    KnownField{"guided_choice", "[]"},
    KnownField{"guided_grammar", "[]"},
    KnownField{"structured_outputs", "[]"},
};

}  // namespace

std::span<const KnownField> answer_format_fields() {
  return kAnswerFormatFields;
}

}  // namespace fvlm::net
