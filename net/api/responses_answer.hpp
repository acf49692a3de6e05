// OpenAI's responses as JSON texts: whole, or as typed events that are numbered.
#pragma once

#include <memory>

#include "fvlm/engine.hpp"
#include "net/api/answer_writer.hpp"
#include "net/protocol/json.hpp"

namespace fvlm::net {

// A response says what it was asked: `request` is the body, `sampling` what was read from it.
std::shared_ptr<AnswerWriter> write_response(const Json& request, const Sampling& sampling);

}  // namespace fvlm::net
