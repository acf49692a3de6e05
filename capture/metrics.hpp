// The counters and the state of the process in the text format of Prometheus.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "capture/source/counters.hpp"

namespace fvlm::capture {

struct CameraMetrics {
  std::string name{};  // the label "camera"; empty: no label, as there is but one
  const Counters* counters = nullptr;
  bool live = false;
  bool server_ready = false;
  std::size_t viewers = 0;
};

struct PageMetrics {
  std::int64_t wrong_keys = 0;
  std::int64_t refused_keys = 0;
};

std::string metrics_text(const std::vector<CameraMetrics>& cameras, const PageMetrics& page);

}  // namespace fvlm::capture
