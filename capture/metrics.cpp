#include "capture/metrics.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <string_view>
#include <system_error>
#include <utility>

namespace fvlm::capture {
namespace {

using Labelled = std::pair<std::string_view, const Counter&>;

std::string head(std::string_view name, std::string_view type, std::string_view help) {
  return fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
}

template <class Value>
std::string one(std::string_view name, std::string_view type, std::string_view help, Value value) {
  return head(name, type, help) + fmt::format("{} {}\n", name, value);
}

std::string family(std::string_view name, std::string_view help, std::string_view label,
                   std::initializer_list<Labelled> members) {
  std::string text = head(name, "counter", help);
  for (const auto& [value, counter] : members) {
    text += fmt::format("{}{{{}=\"{}\"}} {}\n", name, label, value, counter.value());
  }
  return text;
}

std::size_t open_descriptors() {
  std::error_code error;
  std::size_t count = 0;
  for (std::filesystem::directory_iterator it("/proc/self/fd", error), end; it != end;
       it.increment(error)) {
    ++count;
  }
  return count > 0 ? count - 1 : 0;  // without the descriptor of this listing
}

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t pages = 0;
  file >> pages >> pages;
  return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

double busy_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

std::string metrics_text(const Counters& c, const Gauges& gauges) {
  std::string text =
      one("fastvlm_camera_live", "gauge", "Whether the source delivers frames.",
          gauges.camera_live ? 1 : 0) +
      one("fastvlm_camera_server_ready", "gauge", "Whether the server is connected.",
          gauges.server_ready ? 1 : 0) +
      one("fastvlm_camera_viewers", "gauge", "Pages and streams that are open.", gauges.viewers) +
      one("fastvlm_camera_opened_total", "counter", "Times the source was opened.",
          c.opened.value()) +
      one("fastvlm_camera_lost_total", "counter", "Times it could not be opened, or went away.",
          c.lost.value()) +
      one("fastvlm_camera_captured_total", "counter", "Good frames of the source.",
          c.captured.value());
  text += family("fastvlm_camera_unused_total", "Frames that were not used, by reason.", "reason",
                 {{"damaged", c.damaged}, {"dropped", c.dropped}, {"replaced", c.replaced}});
  text += family("fastvlm_camera_pictures_total", "Pictures made, by what was done.", "how",
                 {{"passed", c.passed}, {"compressed", c.compressed}, {"rescaled", c.rescaled}});
  text += one("fastvlm_camera_encode_seconds_total", "counter", "Processor time of that.",
              static_cast<double>(c.encode_micros.value()) * 1e-6);
  text +=
      family("fastvlm_camera_copied_bytes_total",
             "Bytes moved from one place in memory to another, by reason.", "reason",
             {{"rows", c.copied_rows}, {"masked", c.copied_masked}, {"viewers", c.copied_viewers}});
  text +=
      one("fastvlm_camera_sent_total", "counter", "Pictures sent to the server.", c.sent.value()) +
      one("fastvlm_camera_sent_bytes_total", "counter", "Bytes of them.", c.sent_bytes.value());
  text += family("fastvlm_camera_answers_total", "What became of them.", "outcome",
                 {{"described", c.described},
                  {"skipped", c.skipped},
                  {"failed", c.failed},
                  {"unanswered", c.unanswered}});
  text += family("fastvlm_camera_connections_total", "Connections to the server.", "event",
                 {{"opened", c.connected}, {"lost", c.disconnected}});
  text += one("fastvlm_camera_wrong_keys_total", "counter",
              "Requests for the page with a wrong key.", c.wrong_keys.value()) +
          one("fastvlm_camera_keys_refused_total", "counter",
              "Requests refused without a look at their key, because of wrong ones before.",
              c.refused_keys.value());
  text += one("process_open_fds", "gauge", "Open file descriptors.", open_descriptors()) +
          one("process_resident_memory_bytes", "gauge", "Memory in use.", resident_bytes()) +
          one("process_cpu_seconds_total", "counter", "Processor time.", busy_seconds());
  return text;
}

}  // namespace fvlm::capture
