// What the programs tell of themselves: the lines of their logs and metrics.
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include <map>
#include <memory>
#include <sstream>
#include <string>

#include "net/process/program_log.hpp"
#include "net/process/prometheus.hpp"

namespace fvlm {
namespace {

TEST(ProgramLog, HasTheLevelOfALineAndNothingThatMakesTwoOfIt) {
  std::ostringstream out;
  const auto logger =
      std::make_shared<spdlog::logger>("", std::make_shared<spdlog::sinks::ostream_sink_st>(out));
  logger->set_pattern("%l %v");
  logger->set_level(spdlog::level::debug);
  const net::Log log = log_to(logger);
  log(net::LogLevel::kDebug, "1 {}");
  log(net::LogLevel::kInfo, "2\nnot 3");
  log(net::LogLevel::kWarning, "3\x1b[2J\x7f");
  log(net::LogLevel::kError, "❌ 4");
  EXPECT_EQ(out.str(), "debug 1 {}\ninfo 2 not 3\nwarning 3 [2J \nerror ❌ 4\n");
}

TEST(Prometheus, LinesAreInItsTextFormat) {
  EXPECT_EQ(prometheus::gauge("a", "Now.", 2), "# HELP a Now.\n# TYPE a gauge\na 2\n");
  EXPECT_EQ(prometheus::counter("b_total", "So far.", 0.5),
            "# HELP b_total So far.\n# TYPE b_total counter\nb_total 0.5\n");
  const std::string by_label =
      "# HELP c_total Each.\n# TYPE c_total counter\nc_total{how=\"x\"} 1\nc_total{how=\"y\"} 2\n";
  EXPECT_EQ(prometheus::counters("c_total", "Each.", "how", {{"x", 1}, {"y", 2}}), by_label);
  const std::map<std::string, int> counts{{"x", 1}, {"y", 2}};
  EXPECT_EQ(prometheus::counters("c_total", "Each.", "how", counts), by_label);
}

}  // namespace
}  // namespace fvlm
