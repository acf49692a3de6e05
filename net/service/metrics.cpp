#include "net/service/metrics.hpp"

#include <fmt/format.h>

#include <cstddef>
#include <utility>
#include <vector>

#include "net/api/protocols.hpp"
#include "net/process/prometheus.hpp"
#include "net/service/routes.hpp"

namespace fvlm::net {
namespace {

using prometheus::counter;
using prometheus::counters;
using prometheus::gauge;

// Lines of a histogram, without its head. `label`: as `stage="decode"`, or nothing.
std::string series(const Histogram& histogram, const std::string& name, const std::string& label) {
  const std::string more = label.empty() ? "" : label + ",";
  std::string lines;
  std::int64_t count = 0;
  for (std::size_t i = 0; i < histogram.bounds().size(); ++i) {
    count += histogram.counts()[i];
    lines += fmt::format("{}_bucket{{{}le=\"{}\"}} {}\n", name, more, histogram.bounds()[i], count);
  }
  const std::string only = label.empty() ? "" : "{" + label + "}";
  return lines + fmt::format("{0}_bucket{{{1}le=\"+Inf\"}} {4}\n{0}_sum{2} {3}\n{0}_count{2} {4}\n",
                             name, more, only, histogram.sum(), histogram.count());
}

std::string histogram(const std::string& name, const std::string& help,
                      const Histogram& histogram) {
  return prometheus::head(name, "histogram", help) + series(histogram, name, "");
}

std::string engine_text(const EngineCounters& c) {
  return gauge("fastvlm_requests_waiting", "Requests in the engine's queue.", c.waiting) +
         gauge("fastvlm_requests_running", "Running requests.", c.running) +
         gauge("fastvlm_cache_pages", "Pages of the KV cache.", c.cache_pages) +
         gauge("fastvlm_cache_pages_free", "Free pages of the KV cache.", c.free_pages) +
         counter("fastvlm_reused_images_total",
                 "Images that were not encoded, because their embeddings were there.",
                 c.reused_images) +
         histogram("fastvlm_encoder_batch_images", "Images per encoder pass.", c.encoder_batches) +
         histogram("fastvlm_prefill_batch_prompts", "Prompts per prefill pass.",
                   c.prefill_batches) +
         histogram("fastvlm_decode_batch_positions", "Tokens per decode step.", c.decode_batches);
}

std::string build_text(const Metrics::Build& build) {
  using prometheus::escaped;
  return prometheus::head("fastvlm_build_info", "gauge", "What runs, and on what; always 1.") +
         fmt::format(
             "fastvlm_build_info{{version=\"{}\",model=\"{}\",device=\"{}\",precision=\"{}\"}} 1\n",
             escaped(build.version), escaped(build.model), escaped(build.device),
             escaped(build.precision));
}

}  // namespace

// Series that exist from the beginning have a rate from the beginning.
Metrics::Metrics()
    : frames_{{"described", 0}, {"unchanged", 0}, {"skipped", 0}, {"abandoned", 0}, {"busy", 0}},
      rejections_{
          {"busy", 0}, {"stopping", 0}, {"rate_limited", 0}, {"no_key", 0}, {"wrong_key", 0}} {
  for (const Protocol& protocol : protocols()) {
    for (const char* outcome : {"answered", "abandoned", "busy"}) {
      chats_[{outcome, std::string(protocol.path)}] = 0;
    }
  }
  for (const char* stage : {"preprocess", "encode", "prefill", "first_token", "decode", "total"}) {
    stages_.emplace(
        stage, std::vector<double>{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30});
  }
}

void Metrics::end_request(std::string_view path, int status, const std::string& key) {
  const Route* route = route_of(path);
  ++requests_[{std::string(route == nullptr ? "other" : route->path), status, key}];
}

void Metrics::add(const Statistics& s, double before_s) {
  in_queue_.add(s.queue_s);
  to_first_token_.add(before_s + s.ttft_s);
  if (s.new_tokens > 1) {
    between_tokens_.add(s.decode_s / static_cast<double>(s.new_tokens - 1));
  }
  answers_.add(before_s + s.total_s);
  prompt_tokens_ += s.prompt_tokens;
  cached_tokens_ += s.cached_tokens;
  new_tokens_ += s.new_tokens;
  drafted_tokens_ += s.drafted_tokens;
  accepted_tokens_ += s.accepted_tokens;
  for (const auto& [stage, seconds] : {std::pair("preprocess", s.preprocess_s),
                                       {"encode", s.encode_s},
                                       {"prefill", s.prefill_s},
                                       {"first_token", s.ttft_s},
                                       {"decode", s.decode_s},
                                       {"total", s.total_s}}) {
    stages_.at(stage).add(seconds);
  }
}

std::string Metrics::chats_text() const {
  std::string lines = prometheus::head("fastvlm_chats_total", "counter",
                                       "Requests for answers by outcome and path, of any API.");
  for (const auto& [labels, count] : chats_) {
    const auto& [outcome, route] = labels;
    lines += fmt::format("fastvlm_chats_total{{outcome=\"{}\",route=\"{}\"}} {}\n", outcome, route,
                         count);
  }
  return lines;
}

std::string Metrics::text(const Now& now) const {
  std::string out =
      gauge("fastvlm_connections", "Open WebSocket connections.", now.connections) +
      gauge("fastvlm_frames_waiting", "Queued frames.", now.frames_waiting) +
      gauge("fastvlm_frames_running", "Frames being decoded or described.", now.frames_running) +
      gauge("fastvlm_chats_running", "Running requests for answers, of any API.",
            now.chats_running) +
      gauge("fastvlm_queue", "Queued frames and requests, here and in the engine.",
            now.frames_waiting + now.engine.waiting) +
      gauge("fastvlm_draining", "1 while the server drains.", now.draining ? 1 : 0) +
      counter("fastvlm_connections_refused_total",
              "Connections closed or refused at a limit, of a client or in all.",
              now.refused_connections) +
      counter("fastvlm_wrong_keys_total", "Requests with a wrong key.", now.wrong_keys) +
      counter("fastvlm_keys_refused_total", "Requests refused by the rate limit on wrong keys.",
              now.refused_keys) +
      counter("fastvlm_frames_received_total", "Frames that clients have sent.", frames_received_) +
      counter("fastvlm_damaged_pictures_total",
              "Images that were described although their files are damaged.", damaged_pictures_) +
      counters("fastvlm_frames_total", "Frames by outcome.", "outcome", frames_) + chats_text() +
      counters("fastvlm_rejections_total", "Requests and frames that were refused, by reason.",
               "reason", rejections_) +
      counter("fastvlm_prompt_tokens_total", "Prompt tokens, those of images included.",
              prompt_tokens_) +
      counter("fastvlm_cached_tokens_total", "Prompt tokens found in the prefix cache.",
              cached_tokens_) +
      counter("fastvlm_new_tokens_total", "Tokens decoded.", new_tokens_) +
      counter("fastvlm_drafted_tokens_total", "Tokens drafted by speculative decoding.",
              drafted_tokens_) +
      counter("fastvlm_accepted_tokens_total",
              "Of these, accepted by the model; their share is the acceptance rate.",
              accepted_tokens_) +
      engine_text(now.engine);
  out += prometheus::head("fastvlm_stage_seconds", "histogram", "Time of the stages of an answer.");
  for (const auto& [stage, histogram] : stages_) {
    out += series(histogram, "fastvlm_stage_seconds", fmt::format("stage=\"{}\"", stage));
  }
  out += prometheus::head("fastvlm_http_requests_total", "counter",
                          "HTTP requests and WebSocket handshakes, by name of their API key.");
  for (const auto& [labels, count] : requests_) {
    const auto& [route, code, key] = labels;
    out += fmt::format("fastvlm_http_requests_total{{route=\"{}\",code=\"{}\",key=\"{}\"}} {}\n",
                       route, code, key, count);
  }
  return out +
         histogram("fastvlm_time_in_queue_seconds",
                   "Of an answer, from submission to the engine to its first work.", in_queue_) +
         histogram("fastvlm_time_to_first_token_seconds",
                   "From the arrival of a frame or request to the first token of its answer.",
                   to_first_token_) +
         histogram("fastvlm_time_between_tokens_seconds",
                   "Mean of an answer, after its first token.", between_tokens_) +
         histogram("fastvlm_answer_seconds",
                   "From the arrival of a frame or request to the end of its answer.", answers_) +
         gauge("fastvlm_weight_bytes", "Memory of the weights.", now.weight_bytes) +
         gauge("fastvlm_scratch_bytes", "Memory of activations.", now.scratch_bytes) +
         build_text(now.build) + prometheus::process_text();
}

}  // namespace fvlm::net
