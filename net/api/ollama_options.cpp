#include "net/api/ollama_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "net/api/answer_format.hpp"
#include "net/api/ollama_request.hpp"
#include "net/api/sampling_fields.hpp"

namespace fvlm::net {
namespace {

constexpr const char* kRunsTheModel = "how the model runs is the server's to say";
constexpr const char* kNotCut = "a prompt that does not fit is refused, never cut";

constexpr std::array kOllamaFields = {
    KnownField{"model"},
    KnownField{"options"},
    KnownField{"format"},
    KnownField{"stream"},
    KnownField{"logprobs"},
    KnownField{"top_logprobs"},
    KnownField{"keep_alive", kAnything, "the model stays loaded"},
    KnownField{"think", "[false]", "this model does not reason first"},
    KnownField{"truncate", kAnything, kNotCut},
    KnownField{"shift", kAnything, "an answer ends where the context does"},
};

// As OpenAI's and vLLM's readers take them, where the names are the same.
constexpr std::array kOptions = {
    KnownField{"temperature"},
    KnownField{"top_k"},
    KnownField{"top_p"},
    KnownField{"min_p"},
    KnownField{"seed"},
    KnownField{"stop"},
    KnownField{"frequency_penalty"},
    KnownField{"presence_penalty"},
    KnownField{"repeat_penalty"},
    KnownField{"repeat_last_n"},
    KnownField{"num_predict"},
    // Ollama gives a model the smaller of this and its own context, too.
    KnownField{"num_ctx", kAnything, kNotCut},
    KnownField{"num_keep", kAnything, kNotCut},
    KnownField{"penalize_newline", kAnything, "Ollama has no such option any more"},
    KnownField{"typical_p", "[1.0]"},
    KnownField{"tfs_z", "[1.0]"},
    KnownField{"mirostat", "[0]"},
    KnownField{"mirostat_tau", kAnything, "there is no mirostat"},
    KnownField{"mirostat_eta", kAnything, "there is no mirostat"},
    KnownField{"num_batch", kAnything, kRunsTheModel},
    KnownField{"num_gpu", kAnything, kRunsTheModel},
    KnownField{"main_gpu", kAnything, kRunsTheModel},
    KnownField{"num_thread", kAnything, kRunsTheModel},
    KnownField{"low_vram", kAnything, kRunsTheModel},
    KnownField{"f16_kv", kAnything, kRunsTheModel},
    KnownField{"use_mmap", kAnything, kRunsTheModel},
    KnownField{"use_mlock", kAnything, kRunsTheModel},
    KnownField{"numa", kAnything, kRunsTheModel},
    KnownField{"num_gqa", kAnything, kRunsTheModel},
    KnownField{"rope_frequency_base", kAnything, kRunsTheModel},
    KnownField{"rope_frequency_scale", kAnything, kRunsTheModel},
    KnownField{"logits_all", "[false]"},
    KnownField{"vocab_only", "[false]"},
    KnownField{"embedding_only", "[false]"},
};

// 0, -1 and -2 stand for as many as there can be. Clients give thousands without knowing what a
// server allows; that an answer ended at the limit is in its "done_reason".
std::optional<ApiError> read_num_predict(const Json& options, const ChatLimits& limits,
                                         Sampling& sampling) {
  std::int64_t most = -1;
  if (auto error = read_integer(options, "num_predict", most)) return error;
  if (most < -2) {
    return wrong("num_predict", "\"num_predict\" must be a whole number above 0, or -1");
  }
  sampling.max_new_tokens =
      most <= 0 ? limits.max_new_tokens : std::min(most, limits.max_new_tokens);
  return std::nullopt;
}

// Penalties look at the whole answer; 0 tokens of it mean none. Clients send Ollama's default along
// without asking for it.
std::optional<ApiError> read_repetition(const Json& options, Sampling& sampling) {
  if (auto error = read_number(options, "repeat_penalty", sampling.repetition_penalty))
    return error;
  if (sampling.repetition_penalty <= 0) {
    return wrong("repeat_penalty", "\"repeat_penalty\" must be above 0");
  }
  constexpr std::int64_t kDefaultLast = 64;
  std::int64_t last = -1;
  if (auto error = read_integer(options, "repeat_last_n", last)) return error;
  const bool whole = last == -1 || last == kDefaultLast || last >= sampling.max_new_tokens;
  const bool penalises = sampling.repetition_penalty != 1 || sampling.frequency_penalty != 0 ||
                         sampling.presence_penalty != 0;
  if (last == 0) {
    sampling.repetition_penalty = 1;
    sampling.frequency_penalty = sampling.presence_penalty = 0;
  } else if (!whole && penalises) {
    return wrong(
        "repeat_last_n",
        fmt::format("\"repeat_last_n\" is {}: it is not supported here, except 0, -1, {} and "
                    "what is as long as an answer: penalties look at the whole answer",
                    last, kDefaultLast),
        "unsupported_parameter");
  }
  return std::nullopt;
}

std::optional<ApiError> read_options(const Json& body, const ChatLimits& limits,
                                     ChatRequest& request) {
  const Json* found = field(body, "options");
  const Json none = Json::object();
  const Json& given = found == nullptr ? none : *found;
  if (!given.is_object()) return wrong("options", "\"options\" must be an object");
  if (auto error = check_fields(given, "options", {kOptions})) return error;
  Json options = given;
  if (options.contains("seed") && options["seed"] == -1) options.erase("seed");  // none
  if (auto error = read_sampling(options, limits, request)) return error;
  if (auto error = read_num_predict(options, limits, request.sampling)) return error;
  return read_repetition(options, request.sampling);
}

std::optional<ApiError> read_format(const Json& body, ChatRequest& request) {
  const Json* format = field(body, "format");
  if (format == nullptr || *format == "") return std::nullopt;
  if (*format == "json") return set_json_object("format", request);
  if (format->is_object()) return set_json_schema(*format, "format", request);
  return wrong("format", "\"format\" must be \"json\" or a JSON Schema");
}

}  // namespace

std::span<const KnownField> ollama_fields() {
  return kOllamaFields;
}

std::string_view without_tag(std::string_view name) {
  constexpr std::string_view kTag = ":latest";
  if (name.ends_with(kTag)) name.remove_suffix(kTag.size());
  return name;
}

std::optional<ApiError> read_ollama_settings(const Json& body, const ChatLimits& limits,
                                             ChatRequest& request) {
  if (auto error = read_text(body, "model", request.model)) return error;
  request.model = without_tag(request.model);
  if (auto error = read_options(body, limits, request)) return error;
  if (auto error = read_format(body, request)) return error;
  if (auto error = read_logprobs(body, request)) return error;
  request.stream = true;
  return read_flag(body, "stream", request.stream);
}

}  // namespace fvlm::net
