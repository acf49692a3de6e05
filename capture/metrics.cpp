#include "capture/metrics.hpp"

#include "net/process/prometheus.hpp"

namespace fvlm::capture {
namespace {

using prometheus::counter;
using prometheus::counters;
using prometheus::gauge;

}  // namespace

std::string metrics_text(const Counters& c, const Gauges& gauges) {
  std::string text =
      gauge("fastvlm_camera_live", "Whether the source delivers frames.",
            gauges.camera_live ? 1 : 0) +
      gauge("fastvlm_camera_server_ready", "Whether the server is connected.",
            gauges.server_ready ? 1 : 0) +
      gauge("fastvlm_camera_viewers", "Pages and streams that are open.", gauges.viewers) +
      counter("fastvlm_camera_opened_total", "Times the source was opened.", c.opened.value()) +
      counter("fastvlm_camera_lost_total", "Times it could not be opened, or went away.",
              c.lost.value()) +
      counter("fastvlm_camera_captured_total", "Good frames of the source.", c.captured.value());
  text += counters("fastvlm_camera_unused_total", "Frames that were not used, by reason.", "reason",
                   {{"damaged", c.damaged}, {"dropped", c.dropped}, {"replaced", c.replaced}});
  text += counters("fastvlm_camera_pictures_total", "Pictures made, by what was done.", "how",
                   {{"passed", c.passed}, {"compressed", c.compressed}, {"rescaled", c.rescaled}});
  text += counter("fastvlm_camera_encode_seconds_total", "Processor time of that.",
                  static_cast<double>(c.encode_micros.value()) * 1e-6);
  text += counters(
      "fastvlm_camera_copied_bytes_total",
      "Bytes moved from one place in memory to another, by reason.", "reason",
      {{"rows", c.copied_rows}, {"masked", c.copied_masked}, {"viewers", c.copied_viewers}});
  text += counter("fastvlm_camera_sent_total", "Pictures sent to the server.", c.sent.value()) +
          counter("fastvlm_camera_sent_bytes_total", "Bytes of them.", c.sent_bytes.value());
  text += counters("fastvlm_camera_answers_total", "What became of them.", "outcome",
                   {{"described", c.described},
                    {"skipped", c.skipped},
                    {"failed", c.failed},
                    {"unanswered", c.unanswered}});
  text += counters("fastvlm_camera_connections_total", "Connections to the server.", "event",
                   {{"opened", c.connected}, {"lost", c.disconnected}});
  text += counter("fastvlm_camera_wrong_keys_total", "Requests for the page with a wrong key.",
                  gauges.wrong_keys) +
          counter("fastvlm_camera_keys_refused_total",
                  "Requests refused without a look at their key, because of wrong ones before.",
                  gauges.refused_keys);
  return text + prometheus::process_text();
}

}  // namespace fvlm::capture
