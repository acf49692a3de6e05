// What clients ask about the model before they ask it something: /v1/models of OpenAI's API, and
// /api/tags, /api/ps, /api/show and /api/version of Ollama's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "fvlm/engine.hpp"
#include "net/api/api_error.hpp"
#include "net/api/served_model.hpp"
#include "net/http/http.hpp"

namespace fvlm::net {

class ModelService {
 public:
  // `name`: what clients call the model by; empty: its folder's.
  ModelService(const EngineInfo& info, const std::string& name, std::int64_t max_answer_tokens);

  // Answers a request for one of these paths, or below /v1/models.
  HttpResponse answer(const HttpRequest& request) const;

  const std::string& name() const { return model_.name; }
  // Whether clients may call the model so: by its name, its folder's, or none.
  bool serves(std::string_view name) const;
  ApiError not_found(std::string_view asked) const;

  void set_max_answer_tokens(std::int64_t tokens) {
    model_.max_answer_tokens = std::min(tokens, model_.context_tokens);
  }

 private:
  HttpResponse answer_models(const HttpRequest& request) const;
  HttpResponse show(const HttpRequest& request) const;

  ServedModel model_;
};

}  // namespace fvlm::net
