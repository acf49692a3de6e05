// Fields that ask for an answer of a certain form: a JSON value, one that a grammar has, a call of
// a tool. None is implemented, so each is refused but for the values that ask for plain text.
#pragma once

#include <span>

#include "net/api/fields.hpp"

namespace fvlm::net {

std::span<const KnownField> answer_format_fields();

}  // namespace fvlm::net
