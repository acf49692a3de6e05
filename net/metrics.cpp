#include "net/metrics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

namespace fvlm::net {
namespace {

std::string head(const std::string& name, const std::string& type, const std::string& help) {
  return fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
}

std::string one(const std::string& name, const std::string& type, const std::string& help,
                std::int64_t value) {
  return head(name, type, help) + fmt::format("{} {}\n", name, value);
}

}  // namespace

void Histogram::add(double seconds) {
  const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
  ++counts_[static_cast<std::size_t>(bound - kBounds.begin())];
  sum_ += seconds;
}

std::string Histogram::text(const std::string& name, const std::string& label) const {
  std::string lines;
  std::int64_t count = 0;
  for (std::size_t i = 0; i < kBounds.size(); ++i) {
    count += counts_[i];
    lines += fmt::format("{}_bucket{{{},le=\"{}\"}} {}\n", name, label, kBounds[i], count);
  }
  count += counts_.back();
  lines += fmt::format("{}_bucket{{{},le=\"+Inf\"}} {}\n", name, label, count);
  lines += fmt::format("{0}_sum{{{1}}} {2}\n{0}_count{{{1}}} {3}\n", name, label, sum_, count);
  return lines;
}

std::string Metrics::text(std::int64_t connections, std::int64_t waiting,
                          std::int64_t running) const {
  std::string out =
      one("fastvlm_connections", "gauge", "Open WebSocket connections.", connections) +
      one("fastvlm_frames_waiting", "gauge", "Frames that wait for their turn.", waiting) +
      one("fastvlm_frames_running", "gauge", "Frames being decoded or described.", running) +
      one("fastvlm_frames_received_total", "counter", "Frames that clients have sent.",
          frames_received) +
      one("fastvlm_prompt_tokens_total", "counter",
          "Positions of prompts, those of images included.", prompt_tokens) +
      one("fastvlm_cached_tokens_total", "counter",
          "Positions of prompts that were taken from earlier requests.", cached_tokens) +
      one("fastvlm_new_tokens_total", "counter", "Tokens made.", new_tokens);
  out += head("fastvlm_frames_total", "counter", "Frames by what became of them.");
  for (const auto& [outcome, count] : frames) {
    out += fmt::format("fastvlm_frames_total{{outcome=\"{}\"}} {}\n", outcome, count);
  }
  out += head("fastvlm_stage_seconds", "histogram", "Time of the stages of a described frame.");
  for (const auto& [stage, histogram] : stages) {
    out += histogram.text("fastvlm_stage_seconds", fmt::format("stage=\"{}\"", stage));
  }
  return out;
}

}  // namespace fvlm::net
