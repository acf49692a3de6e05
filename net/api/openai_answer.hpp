// Answers of OpenAI's API (chat completions and models) as JSON texts.
#pragma once

#include <memory>
#include <string>

#include "net/api/answer_writer.hpp"
#include "net/api/served_model.hpp"

namespace fvlm::net {

std::shared_ptr<AnswerWriter> write_chat_completion(bool include_usage, bool include_logprobs);

std::string write_model(const ServedModel& model);
std::string write_models(const ServedModel& model);

}  // namespace fvlm::net
