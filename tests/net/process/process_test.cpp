// What the programs tell of themselves: the lines of their logs and metrics.
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include <sys/stat.h>

#include <ctime>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>
#include <string>

#include "net/process/program_log.hpp"
#include "net/process/prometheus.hpp"
#include "tests/support/temporary_folder.hpp"

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

TEST(ProgramLog, TellsWhichRequestALineIsAbout) {
  std::ostringstream out;
  const auto logger =
      std::make_shared<spdlog::logger>("", std::make_shared<spdlog::sinks::ostream_sink_st>(out));
  logger->set_pattern("%v");
  log_to(logger)(net::LogLevel::kInfo, "line", {.client = "[::1]:9", .request_id = "id-1"});
  log_to(logger)(net::LogLevel::kInfo, "✨ said", {.request_id = "id-1", .verbatim = true});
  EXPECT_EQ(out.str(), "line [id-1]\n✨ said\n");
}

TEST(ProgramLog, IsAJsonObjectALineIfWanted) {
  std::ostringstream out;
  const auto logger =
      std::make_shared<spdlog::logger>("", std::make_shared<spdlog::sinks::ostream_sink_st>(out));
  logger->set_pattern("%v");
  const net::Log log = log_to(logger, LogFormat::kJson);
  log(net::LogLevel::kDebug, "not wanted");
  log(net::LogLevel::kInfo, "✨ \"quoted\" \\ \xff\n{}",
      {.client = "[::1]:9", .request_id = "id-1", .key = "garage"});
  log(net::LogLevel::kWarning, "plain");
  std::istringstream lines(out.str());
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  const auto first = nlohmann::json::parse(line);
  EXPECT_EQ(first["level"], "info");
  EXPECT_EQ(first["message"], "✨ \"quoted\" \\ \ufffd {}");
  EXPECT_EQ(first["client"], "[::1]:9");
  EXPECT_EQ(first["request_id"], "id-1");
  EXPECT_EQ(first["key"], "garage");
  const std::regex time(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)");
  EXPECT_TRUE(std::regex_match(first["time"].get<std::string>(), time)) << line;
  ASSERT_TRUE(std::getline(lines, line));
  EXPECT_EQ(nlohmann::json::parse(line).size(), 3U) << line;
  EXPECT_FALSE(std::getline(lines, line));
}

// Who was seen when is nobody else's business, whatever the umask is, and whatever was there.
TEST(ProgramLog, IsReadableByItsOwnerAlone) {
  namespace fs = std::filesystem;
  const TemporaryFolder folder;
  write_file(folder / "server.log", "of an earlier version\n");
  write_file(folder / "server.1.log", "of an earlier version\n");
  const auto mask = ::umask(0);
  for (const char* name : {"server", "client"}) {
    open_log({.folder = folder.path(), .name = name})(net::LogLevel::kInfo, "line");
  }
  ::umask(mask);
  int files = 0;
  for (const auto& entry : fs::directory_iterator(folder.path())) {
    EXPECT_EQ(entry.status().permissions(), fs::perms::owner_read | fs::perms::owner_write)
        << entry.path();
    ++files;
  }
  EXPECT_EQ(files, 3);
  EXPECT_TRUE(contains(read_file(folder / "server.log"), "of an earlier version\n["));
}

TEST(ProgramLog, HasTheLevelsThatAreWanted) {
  const TemporaryFolder folder;
  const net::Log log =
      open_log({.folder = folder.path(), .name = "server", .level = net::LogLevel::kWarning});
  log(net::LogLevel::kInfo, "usual");
  log(net::LogLevel::kWarning, "unusual");
  const std::string text = read_file(folder / "server.log");
  EXPECT_FALSE(contains(text, " usual") || contains(text, "log file")) << text;
  EXPECT_TRUE(contains(text, "] WARNING: unusual")) << text;
  for (const char* name : {"error", "warn", "info", "debug"}) EXPECT_TRUE(net::level_of(name));
  EXPECT_FALSE(net::level_of("loud"));
}

TEST(Prometheus, TellsOfTheProcess) {
  const std::string text = prometheus::process_text();
  const auto value = [&](const std::string& name) {
    const std::size_t at = text.find("\n" + name + " ");
    return at == text.npos ? -1 : std::stod(text.substr(at + name.size() + 2));
  };
  const auto now = static_cast<double>(std::time(nullptr));
  EXPECT_GT(value("process_start_time_seconds"), now - 3600);
  EXPECT_LT(value("process_start_time_seconds"), now + 2);
  EXPECT_GT(value("process_cpu_seconds_total"), 0);
  EXPECT_GT(value("process_resident_memory_bytes"), 1e6);
  EXPECT_GE(value("process_open_fds"), 3);
  EXPECT_GT(value("process_max_fds"), value("process_open_fds"));
}

TEST(Prometheus, LabelsMayBeAnyText) {
  EXPECT_EQ(prometheus::escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
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
