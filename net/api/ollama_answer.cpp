#include "net/api/ollama_answer.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <utility>

#include "net/api/openai_parts.hpp"
#include "net/http/api_keys.hpp"
#include "net/protocol/json.hpp"

namespace fvlm::net {
namespace {

using WallClock = std::chrono::system_clock;

constexpr const char* kVersion = "0.12.6";

// RFC 3339, UTC.
std::string time_text(WallClock::time_point time) {
  const auto since = std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch());
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:09}Z", fmt::gmtime(WallClock::to_time_t(time)),
                     since.count() % 1'000'000'000);
}

std::int64_t nanoseconds(double seconds) {
  return static_cast<std::int64_t>(seconds * 1e9);
}

class OllamaWriter final : public AnswerWriter {
 public:
  explicit OllamaWriter(const OllamaAnswer& shape) : shape_(shape) {
    if (shape.unloads) reason_ = "unload";
  }

  // There is one, or none if there was no prompt.
  std::string whole(std::span<const AnswerChoice> choices, const AnswerUsage& usage) override {
    std::string_view text;
    const ToolCall* call = nullptr;
    std::span<const TokenLogprobs> logprobs;
    for (const AnswerChoice& one : choices) {
      reason_ = reason_of(one);
      logprobs = one.logprobs;
      text = one.text;
      call = told(one);
    }
    Json line = object(text, call, logprobs);
    end(line, usage);
    return dump(line);
  }

  const char* stream_type() const override { return "application/x-ndjson"; }
  std::string first(std::size_t) override { return {}; }

  std::string piece(std::size_t, std::string_view text,
                    std::span<const TokenLogprobs> logprobs) override {
    return line(text, nullptr, logprobs);
  }

  std::string end_of(std::size_t, const AnswerChoice& one) override {
    reason_ = reason_of(one);
    const ToolCall* call = told(one);
    return call == nullptr ? "" : line("", call, {});
  }

  std::string last(const AnswerUsage& usage) override {
    Json data = object("", nullptr, {});
    end(data, usage);
    return dump(data) + "\n";
  }

  std::string failure(const ApiError& error) override {
    return dump(ollama_error_object(error)) + "\n";
  }

 private:
  static const char* reason_of(const AnswerChoice& one) {
    return one.end == AnswerEnd::kLength ? "length" : "stop";
  }

  // Arguments are an object here: of a call that was cut off "done_reason" alone tells.
  static const ToolCall* told(const AnswerChoice& one) {
    return one.call != nullptr && one.call->is_whole ? one.call : nullptr;
  }

  Json object(std::string_view text, const ToolCall* call,
              std::span<const TokenLogprobs> logprobs) const {
    Json data = {{"model", head().model}, {"created_at", time_text(WallClock::now())}};
    if (shape_.is_chat) {
      data["message"] = {{"role", "assistant"}, {"content", text}};
      if (call != nullptr) {
        data["message"]["tool_calls"] =
            Json::array({{{"id", call_id(head(), 0)},
                          {"function",
                           {{"index", 0},
                            {"name", call->name},
                            {"arguments", Json::parse(call->arguments)}}}}});
      }
    } else {
      data["response"] = text;
    }
    if (shape_.include_logprobs && !logprobs.empty()) data["logprobs"] = token_array(logprobs);
    data["done"] = false;
    return data;
  }

  std::string line(std::string_view text, const ToolCall* call,
                   std::span<const TokenLogprobs> logprobs) const {
    return dump(object(text, call, logprobs)) + "\n";
  }

  // Nothing is loaded for a request.
  void end(Json& data, const AnswerUsage& usage) const {
    data["done"] = true;
    data["done_reason"] = reason_;
    data["total_duration"] = nanoseconds(usage.total_s);
    data["load_duration"] = 0;
    data["prompt_eval_count"] = usage.prompt_tokens;
    data["prompt_eval_duration"] = nanoseconds(usage.prompt_s);
    data["eval_count"] = usage.new_tokens;
    data["eval_duration"] = nanoseconds(usage.decode_s);
  }

  OllamaAnswer shape_;
  const char* reason_ = "load";
};

std::string tagged(const ServedModel& model) {
  return model.name.find(':') == std::string::npos ? model.name + ":latest" : model.name;
}

// As Ollama writes numbers: "7.6B", "494.03M".
std::string parameter_size(std::int64_t parameters) {
  const auto number = static_cast<double>(parameters);
  if (number >= 1e9) return fmt::format("{:.1f}B", number / 1e9);
  return number >= 1e6 ? fmt::format("{:.2f}M", number / 1e6)
                       : fmt::format("{:.0f}K", number / 1e3);
}

Json details(const ServedModel& model) {
  return {{"parent_model", ""},
          {"format", "safetensors"},
          {"family", "fastvlm"},
          {"families", {"fastvlm"}},
          {"parameter_size", parameter_size(model.parameters)},
          {"quantization_level", model.precision}};
}

WallClock::time_point started(const ServedModel& model) {
  return WallClock::time_point(std::chrono::seconds(model.created));
}

std::string hexadecimal(const KeyDigest& digest) {
  std::string text;
  for (const std::uint8_t byte : digest) text += fmt::format("{:02x}", byte);
  return text;
}

// The digest tells models apart: it is that of the name.
Json listed(const ServedModel& model) {
  return {{"name", tagged(model)},
          {"model", tagged(model)},
          {"size", model.weight_bytes},
          {"digest", hexadecimal(digest_of(model.name))},
          {"details", details(model)}};
}

}  // namespace

std::shared_ptr<AnswerWriter> write_ollama(const OllamaAnswer& shape) {
  return std::make_shared<OllamaWriter>(shape);
}

std::string write_ollama_tags(const ServedModel& model) {
  Json one = listed(model);
  one["modified_at"] = time_text(started(model));
  return dump({{"models", Json::array({std::move(one)})}});
}

// Never unloaded, which is some time in the far future.
std::string write_ollama_running(const ServedModel& model) {
  constexpr std::chrono::hours kFar(24 * 365 * 100);
  Json one = listed(model);
  one["expires_at"] = time_text(started(model) + kFar);
  one["size_vram"] = model.device.starts_with("cuda") ? model.weight_bytes : 0;
  one["context_length"] = model.context_tokens;
  return dump({{"models", Json::array({std::move(one)})}});
}

std::string write_ollama_model(const ServedModel& model) {
  return dump({{"modelfile", ""},
               {"parameters", ""},
               {"template", ""},
               {"details", details(model)},
               {"model_info",
                {{"general.architecture", "fastvlm"},
                 {"general.parameter_count", model.parameters},
                 {"general.basename", model.folder},
                 {"fastvlm.context_length", model.context_tokens},
                 {"fastvlm.image_tokens", model.tokens_of_image}}},
               {"capabilities", {"completion", "vision", "tools"}},
               {"modified_at", time_text(started(model))}});
}

std::string write_ollama_version() {
  return dump({{"version", kVersion}, {"server", "fastvlm"}});
}

}  // namespace fvlm::net
