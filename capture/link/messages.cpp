#include "capture/link/messages.hpp"

#include <nlohmann/json.hpp>
#include <string_view>

namespace fvlm::capture {
namespace {

using Json = nlohmann::json;

// Damaged UTF-8 becomes replacement characters rather than an exception.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string text_at(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

Answer::Kind kind_of(const std::string& type) {
  if (type == "description") return Answer::Kind::kDescription;
  if (type == "token") return Answer::Kind::kToken;
  if (type == "skipped") return Answer::Kind::kSkipped;
  if (type == "error") return Answer::Kind::kError;
  return Answer::Kind::kUnknown;
}

}  // namespace

Answer read_answer(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return {};
  Answer answer;
  answer.kind = kind_of(text_at(json, "type"));
  answer.content = text_at(json, answer.kind == Answer::Kind::kError ? "message" : "content");
  const auto id = json.find("frame_id");
  if (id != json.end() && id->is_number_integer()) answer.frame_id = id->get<std::int64_t>();
  const auto ttft = json.find("ttft_ms");
  if (ttft != json.end() && ttft->is_number()) answer.ttft_ms = ttft->get<double>();
  return answer;
}

std::string write_configure(const std::string& prompt, int max_new_tokens) {
  Json json = {{"type", "configure"}, {"stream", true}, {"temperature", 0}};
  if (!prompt.empty()) json["prompt"] = prompt;
  if (max_new_tokens > 0) json["max_new_tokens"] = max_new_tokens;
  return dump(json);
}

std::string write_frame(const std::string& jpeg) {
  return R"({"type":"frame","data":")" + base64(jpeg) + "\"}";
}

std::string write_state(const PageState& state) {
  return dump({{"type", "state"},
               {"camera_live", state.camera_live},
               {"camera", state.camera},
               {"server", state.server},
               {"server_text", state.server_text},
               {"stream", state.stream},
               {"prompt", state.prompt},
               {"interval", state.interval},
               {"width", state.width},
               {"height", state.height}});
}

std::string write_history(const std::vector<std::string>& descriptions) {
  Json items = Json::array();
  for (const std::string& text : descriptions) {
    Json item = Json::parse(text, nullptr, false);
    if (item.is_object()) items.push_back(std::move(item));
  }
  return dump({{"type", "history"}, {"descriptions", std::move(items)}});
}

std::optional<PageWish> read_wish(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || text_at(json, "type") != "configure") return std::nullopt;
  PageWish wish;
  wish.binary = json.value("binary", Json()) == true;
  if (json.contains("prompt") && json["prompt"].is_string()) wish.prompt = json["prompt"];
  if (json.contains("interval") && json["interval"].is_number()) wish.interval = json["interval"];
  return wish;
}

std::string base64(const std::string& bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto at = [&](std::size_t k) -> std::uint32_t {
      return i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U;
    };
    const std::uint32_t three = at(0) << 16 | at(1) << 8 | at(2);
    text.push_back(kDigits[three >> 18]);
    text.push_back(kDigits[three >> 12 & 63]);
    text.push_back(i + 1 < bytes.size() ? kDigits[three >> 6 & 63] : '=');
    text.push_back(i + 2 < bytes.size() ? kDigits[three & 63] : '=');
  }
  return text;
}

}  // namespace fvlm::capture
