// The counters and the state of the process in the text format of Prometheus.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "capture/source/counters.hpp"

namespace fvlm::capture {

struct Gauges {
  bool camera_live = false;
  bool server_ready = false;
  std::size_t viewers = 0;
  std::int64_t wrong_keys = 0;
  std::int64_t refused_keys = 0;
};

std::string metrics_text(const Counters& counters, const Gauges& gauges);

}  // namespace fvlm::capture
