#include "capture/metrics.hpp"

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "net/process/prometheus.hpp"

namespace fvlm::capture {
namespace {

using prometheus::counter;

// Of all cameras, a metric after the other: the format wants a metric's lines together.
class Writer {
 public:
  explicit Writer(const std::vector<CameraMetrics>& cameras) : cameras_(cameras) {}

  // `value_of` a camera.
  template <class ValueOf>
  void gauge(std::string_view name, std::string_view help, ValueOf value_of) {
    text_ += prometheus::head(name, "gauge", help);
    for (const CameraMetrics& camera : cameras_) line(name, camera, "", value_of(camera));
  }
  void counter(std::string_view name, std::string_view help, const Counter Counters::*value) {
    text_ += prometheus::head(name, "counter", help);
    for (const CameraMetrics& camera : cameras_) {
      line(name, camera, "", (camera.counters->*value).value());
    }
  }
  // One for each value of a label.
  void counters(
      std::string_view name, std::string_view help, std::string_view label,
      std::initializer_list<std::pair<std::string_view, const Counter Counters::*>> values) {
    text_ += prometheus::head(name, "counter", help);
    for (const CameraMetrics& camera : cameras_) {
      for (const auto& [of, value] : values) {
        line(name, camera, fmt::format("{}=\"{}\"", label, of), (camera.counters->*value).value());
      }
    }
  }
  void seconds(std::string_view name, std::string_view help, const Counter Counters::*micros) {
    text_ += prometheus::head(name, "counter", help);
    for (const CameraMetrics& camera : cameras_) {
      line(name, camera, "", static_cast<double>((camera.counters->*micros).value()) * 1e-6);
    }
  }
  std::string take() { return std::move(text_); }

 private:
  template <class Value>
  void line(std::string_view name, const CameraMetrics& camera, const std::string& label,
            Value value) {
    std::string labels = camera.name.empty() ? "" : fmt::format("camera=\"{}\"", camera.name);
    if (!label.empty()) labels += (labels.empty() ? "" : ",") + label;
    text_ += labels.empty() ? fmt::format("{} {}\n", name, value)
                            : fmt::format("{}{{{}}} {}\n", name, labels, value);
  }

  const std::vector<CameraMetrics>& cameras_;
  std::string text_{};
};

}  // namespace

std::string metrics_text(const std::vector<CameraMetrics>& cameras, const PageMetrics& page) {
  using C = Counters;
  Writer all(cameras);
  all.gauge("fastvlm_camera_live", "Whether the source delivers frames.",
            [](const CameraMetrics& camera) { return camera.live ? 1 : 0; });
  all.gauge("fastvlm_camera_server_ready", "Whether the server is connected.",
            [](const CameraMetrics& camera) { return camera.server_ready ? 1 : 0; });
  all.gauge("fastvlm_camera_viewers", "Pages and streams that are open.",
            [](const CameraMetrics& camera) { return camera.viewers; });
  all.counter("fastvlm_camera_opened_total", "Times the source was opened.", &C::opened);
  all.counter("fastvlm_camera_lost_total", "Times it could not be opened, or went away.", &C::lost);
  all.counter("fastvlm_camera_captured_total", "Good frames of the source.", &C::captured);
  all.counters("fastvlm_camera_unused_total", "Frames that were not used, by reason.", "reason",
               {{"damaged", &C::damaged}, {"dropped", &C::dropped}, {"replaced", &C::replaced}});
  all.counters("fastvlm_camera_pictures_total", "Pictures made, by what was done.", "how",
               {{"passed", &C::passed},
                {"compressed", &C::compressed},
                {"rescaled", &C::rescaled},
                {"transformed", &C::transformed}});
  all.seconds("fastvlm_camera_encode_seconds_total", "Processor time of that.", &C::encode_micros);
  all.counters(
      "fastvlm_camera_copied_bytes_total",
      "Bytes moved from one place in memory to another, by reason.", "reason",
      {{"rows", &C::copied_rows}, {"masked", &C::copied_masked}, {"viewers", &C::copied_viewers}});
  all.counter("fastvlm_camera_sent_total", "Pictures sent to the server.", &C::sent);
  all.counter("fastvlm_camera_sent_bytes_total", "Bytes of them.", &C::sent_bytes);
  all.counters("fastvlm_camera_answers_total", "What became of them.", "outcome",
               {{"described", &C::described},
                {"skipped", &C::skipped},
                {"failed", &C::failed},
                {"unanswered", &C::unanswered}});
  all.counters("fastvlm_camera_connections_total", "Connections to the server.", "event",
               {{"opened", &C::connected}, {"lost", &C::disconnected}});
  return all.take() +
         counter("fastvlm_camera_wrong_keys_total", "Requests for the page with a wrong key.",
                 page.wrong_keys) +
         counter("fastvlm_camera_keys_refused_total",
                 "Requests refused without a look at their key, because of wrong ones before.",
                 page.refused_keys) +
         prometheus::process_text();
}

}  // namespace fvlm::capture
