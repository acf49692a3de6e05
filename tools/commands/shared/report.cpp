#include "tools/commands/shared/report.hpp"

#include <fmt/format.h>

#include <fstream>
#include <vector>

namespace fvlm {
namespace {

double prefill_tokens_per_second(const Statistics& statistics) {
  const auto computed = static_cast<double>(statistics.prompt_tokens - statistics.cached_tokens);
  return statistics.prefill_s > 0 ? computed / statistics.prefill_s : 0;
}

const char* outcome_name(Outcome outcome) {
  switch (outcome) {
    case Outcome::kStop:
      return "stop";
    case Outcome::kLength:
      return "length";
    case Outcome::kCancelled:
      return "cancelled";
    case Outcome::kFailed:
      break;
  }
  return "failed";
}

}  // namespace

// From /proc: getrusage's ru_maxrss would count what the parent process held before exec.
std::int64_t peak_memory_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string key; status >> key;) {
    std::int64_t kibibytes = 0;
    if (key == "VmHWM:" && status >> kibibytes) return kibibytes * 1024;
  }
  return 0;
}

void reset_peak_memory() {
  std::ofstream("/proc/self/clear_refs") << 5;  // proc(5): resets the peak resident set size
}

std::string statistics_table(const EngineInfo& info, const Statistics& statistics) {
  const auto rate = [](std::int64_t tokens, double tokens_per_second) {
    return fmt::format("{:>8} tokens{:>10.1f} tok/s", tokens, tokens_per_second);
  };
  std::string prefill = rate(statistics.prompt_tokens, prefill_tokens_per_second(statistics));
  if (statistics.cached_tokens > 0) {
    prefill += fmt::format(" ({} tokens cached)", statistics.cached_tokens);
  }
  struct Row {
    const char* stage;
    double seconds;
    std::string note;
  };
  const Row rows[] = {
      {"load", info.load_s, ""},
      {"preprocess", statistics.preprocess_s, ""},
      {"encode", statistics.encode_s, ""},
      {"prefill", statistics.prefill_s, prefill},
      {"first token", statistics.ttft_s, ""},
      {"decode", statistics.decode_s, rate(statistics.new_tokens, statistics.tokens_per_second())},
      {"total", statistics.total_s, ""},
  };

  std::string table = fmt::format("{}, {}, {}\n", info.model, info.device, info.precision);
  for (const Row& row : rows) {
    table += fmt::format("{:<13}{:>9.3f} s{}\n", row.stage, row.seconds, row.note);
  }
  return table + fmt::format("{:<13}{:>9.1f} MB\n", "peak memory",
                             static_cast<double>(peak_memory_bytes()) / 1e6);
}

std::string timing_line(const Statistics& statistics) {
  return fmt::format(
      "preprocess {:.3f} s, queue {:.3f} s, encode {:.3f} s, prefill {:.3f} s ({} tokens, {} "
      "cached), decode {:.3f} s ({} tokens), total {:.3f} s",
      statistics.preprocess_s, statistics.queue_s, statistics.encode_s, statistics.prefill_s,
      statistics.prompt_tokens, statistics.cached_tokens, statistics.decode_s,
      statistics.new_tokens, statistics.total_s);
}

std::string json_line(const nlohmann::ordered_json& object) {
  return object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

nlohmann::ordered_json answer_json(const EngineInfo& info, const Result& result,
                                   const std::string& file) {
  const Statistics& statistics = result.statistics;
  nlohmann::ordered_json object;
  if (!file.empty()) object["file"] = file;
  object.update(nlohmann::ordered_json{
      {"text", result.text},
      {"tokens", result.tokens},
      {"outcome", outcome_name(result.outcome)},
      {"model", info.model},
      {"device", info.device},
      {"precision", info.precision},
      {"statistics",
       {{"load_s", info.load_s},
        {"decode_images_s", statistics.preprocess_s},  // as it was once called
        {"preprocess_s", statistics.preprocess_s},
        {"encode_s", statistics.encode_s},
        {"prefill_s", statistics.prefill_s},
        {"ttft_s", statistics.ttft_s},
        {"decode_s", statistics.decode_s},
        {"total_s", statistics.total_s},
        {"prompt_tokens", statistics.prompt_tokens},
        {"cached_tokens", statistics.cached_tokens},
        {"encoded_images", statistics.encoded_images},
        {"new_tokens", statistics.new_tokens},
        {"prefill_tok_s", prefill_tokens_per_second(statistics)},
        {"decode_tok_s", statistics.tokens_per_second()},
        {"peak_rss_bytes", peak_memory_bytes()}}},
  });
  return object;
}

}  // namespace fvlm
