// Answers of Ollama's API as JSON texts: one object, or one a line.
#pragma once

#include <memory>
#include <string>

#include "net/api/answer_writer.hpp"
#include "net/api/served_model.hpp"

namespace fvlm::net {

struct OllamaAnswer {
  bool is_chat = false;  // a "message", else a "response"
  bool unloads = false;  // what a request without a prompt asks for, else to load
  bool include_logprobs = false;
};
std::shared_ptr<AnswerWriter> write_ollama(const OllamaAnswer& shape);

// Of /api/tags, /api/ps and /api/show.
std::string write_ollama_tags(const ServedModel& model);
std::string write_ollama_running(const ServedModel& model);
std::string write_ollama_model(const ServedModel& model);
// Of /api/version: that of Ollama whose API is spoken here, which clients compare.
std::string write_ollama_version();

}  // namespace fvlm::net
