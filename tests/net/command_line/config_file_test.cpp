// What a config file's reader makes of TOML, and what it says of everything else.
#include "net/command_line/config_file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "net/http/one_line.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fvlm::net {
namespace {

using Kind = ConfigValue::Kind;

// "line:column: problem"; empty if nothing is wrong.
std::string problem_of(const std::string& text, std::string_view table = {}) {
  try {
    parse_config(text, "f", table);
  } catch (const ConfigError& error) {
    const std::string problem = error.what();
    EXPECT_EQ(problem.substr(0, 2), "f:");
    EXPECT_LE(problem.size(), kLongestLine + 3);
    return problem.substr(2);
  }
  return {};
}

// Without the place, which for some faults differs among versions of toml++.
std::string words_of(const std::string& text) {
  const std::string problem = problem_of(text);
  const std::size_t place = problem.find(": ");
  return place == problem.npos ? problem : problem.substr(place + 2);
}

TEST(ConfigFile, HasEntriesInTheirOrderWithTheirPlaces) {
  const ConfigFile file = parse_config(
      "\xEF\xBB\xBF# a comment\r\nport = 0\r\n  host = \"::1\" # here\r\n\r\nopen = true\n"
      "prompt = \"描述 # \\\"图片\\\"\"\n\"below\" = 1.5\narea = [ 0.0, 1e-3,\n  'x' ]\nnone = []",
      "f");
  ASSERT_EQ(file.entries.size(), 7U);
  EXPECT_EQ(file.entries[0].key, "port");
  EXPECT_EQ(file.entries[0].values.at(0).kind, Kind::kInteger);
  const ConfigEntry& host = file.entries[1];
  EXPECT_EQ(host.key, "host");
  EXPECT_EQ(host.values.at(0).text, "::1");
  EXPECT_EQ(host.place.line, 3U);
  EXPECT_EQ(host.place.column, 3U);
  EXPECT_EQ(host.values[0].place.column, 10U);
  EXPECT_FALSE(host.is_array);
  EXPECT_EQ(file.entries[2].values.at(0).text, "true");
  EXPECT_EQ(file.entries[2].values[0].kind, Kind::kBoolean);
  EXPECT_EQ(file.entries[3].values.at(0).text, "描述 # \"图片\"");
  EXPECT_EQ(file.entries[4].values.at(0).text, "1.5");
  const ConfigEntry& area = file.entries[5];
  EXPECT_TRUE(area.is_array);
  ASSERT_EQ(area.values.size(), 3U);
  EXPECT_EQ(area.values[0].text, "0.0") << "fractions differ from pixels by their point";
  EXPECT_EQ(area.values[0].kind, Kind::kFloat);
  EXPECT_EQ(area.values[1].text, "0.001");
  EXPECT_EQ(area.values[2].place.line, 9U);
  EXPECT_TRUE(file.entries[6].values.empty());
  EXPECT_TRUE(file.entries[6].is_array);
}

TEST(ConfigFile, HasTablesOfOneName) {
  const ConfigFile file =
      parse_config("a = 1\n[[camera]]\nz = 1\nb = 2\n\n[[camera]]\n", "f", "camera");
  EXPECT_EQ(file.entries.size(), 1U);
  ASSERT_EQ(file.tables.size(), 2U);
  EXPECT_EQ(file.tables[0].entries.at(0).key, "z");
  EXPECT_EQ(file.tables[0].entries.at(1).key, "b");
  EXPECT_EQ(file.tables[1].place.line, 6U);
  EXPECT_TRUE(file.tables[1].entries.empty());

  const char* const brackets =
      "camera is a table in two pairs of brackets, as there may be several: [[camera]]";
  EXPECT_EQ(problem_of("[camera]\na = 1\n", "camera"), "1:2: " + std::string(brackets));
  EXPECT_EQ(problem_of("camera = 1\n", "camera"), "1:1: " + std::string(brackets));
  EXPECT_EQ(problem_of("[server]\na = 1\n", "camera"),
            "1:2: there is no table server, only [[camera]]");
  EXPECT_EQ(problem_of("[[cameras]]\na = 1\n", "camera"),
            "1:3: there is no table cameras: did you mean [[camera]]?");
  EXPECT_EQ(problem_of("[[camera]]\na.b = 1\n", "camera"),
            "2:1: there is no table a, only [[camera]]");
  EXPECT_EQ(problem_of("[[camera]]\na = {b = 1}\n"),
            "1:3: there is no table camera; keys stand without one, as in port = 5000");
}

TEST(ConfigFile, SaysHowALineIsMended) {
  const std::string quotes = "a text must stand in quotes: ";
  EXPECT_EQ(problem_of("host = 127.0.0.1\n"), "1:13: " + quotes + "host = \"127.0.0.1\"");
  EXPECT_EQ(problem_of("\ncrop = 0,0,10,10 # all\n"), "2:9: " + quotes + "crop = \"0,0,10,10\"");
  EXPECT_EQ(words_of("source = test-pattern\n"), quotes + "source = \"test-pattern\"");
  EXPECT_EQ(words_of("server = ws://a:1/ws#x"), quotes + "server = \"ws://a:1/ws#x\"");
  EXPECT_EQ(words_of("interval = 20ms\n"), quotes + "interval = \"20ms\"");
  EXPECT_EQ(words_of("host = here\"\n"), quotes + "host = \"here\"");
  EXPECT_EQ(problem_of("open = yes\n"), "1:8: expected true or false: open = true");
  EXPECT_EQ(problem_of("open = False\n"), "1:8: expected true or false: open = false");
  EXPECT_EQ(problem_of("port = 1\nhost = \"a\"\nport = 2\n"),
            "3:8: port stands here for the second time; keep one of them");
  EXPECT_EQ(problem_of("host = \"127.0.0.1\n"),
            "1:18: a text ends where its line does; close its quotes");
  EXPECT_EQ(problem_of("list = [\"https://a\",\n  \"b\"\nport = 1\n"),
            "3:1: this is not TOML: array: expected comma or closing ']', saw 'p'");
  EXPECT_EQ(problem_of("port\n"), "1:5: this is not TOML: key-value pair: expected '=', saw '\\n'");
  EXPECT_EQ(problem_of("port =\n"),
            "1:7: this is not TOML: key-value pair: expected value, saw '\\n'");
  EXPECT_EQ(problem_of("port = 1 2\n").substr(0, 23), "1:10: this is not TOML:");
  EXPECT_EQ(problem_of("day = 2026-01-01\n"),
            "1:7: day: expected a text in quotes, a number, true or false");
  EXPECT_EQ(problem_of("x = [[1]]\n"),
            "1:6: x: expected a text in quotes, a number, true or false within the array");
  EXPECT_EQ(problem_of("x = nan\n"), "1:5: x: expected a finite number");
}

TEST(ConfigFile, KeepsSecretsOutOfItsErrors) {
  for (const char* line :
       {"api-key = hunter2", "source = pipe:ffmpeg -i rtsp://me:hunter2@camera/ -f mjpeg -"}) {
    const std::string problem = problem_of(line);
    EXPECT_NE(problem.find("= \"...\""), problem.npos) << problem;
    EXPECT_EQ(problem.find("hunter2"), problem.npos) << problem;
  }
}

TEST(ConfigFile, SaysOfRubbishThatItIsNone) {
  const std::string no_text = "this is not UTF-8, and so no config file";
  EXPECT_EQ(words_of("\xFF\x7F"), no_text);
  EXPECT_FALSE(problem_of("host = “::1”\n").empty());
  EXPECT_EQ(problem_of("day = 2026-01-01T:\n").substr(0, 3), "1:1");
  EXPECT_EQ(words_of("a = \"\xC3\x28\"\n"), no_text);
  EXPECT_FALSE(problem_of(std::string("a = 1\0\n", 7)).empty());
  EXPECT_FALSE(problem_of(std::string(1000, '\0')).empty());
  EXPECT_FALSE(problem_of("a = \"\x1b[2J\"\n").empty());
  EXPECT_FALSE(problem_of("a = " + std::string(1000, '[')).empty());
  EXPECT_EQ(problem_of("[[# x\n").substr(0, 5), "1:3: ");
  EXPECT_FALSE(problem_of(std::string(60'000, 'a') + " = q").empty());
  // A key of control characters, which an error must not write to a terminal.
  const std::string problem = problem_of("\"\\u001b[2J\" = 2026-01-01\n");
  EXPECT_EQ(problem.find('\x1b'), problem.npos);
  // Each dot is a table within another.
  std::string deep;
  for (int i = 0; i < 5000; ++i) deep += "a.";
  EXPECT_FALSE(problem_of(deep + "b = 1\n").empty());
}

TEST(ConfigFile, ReadsOrdinaryFilesOfOrdinarySize) {
  const TemporaryFolder folder;
  const auto problem = [](const std::string& path) -> std::string {
    try {
      read_config_file(path);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return {};
  };
  const std::string path = (folder / "f").string();
  EXPECT_EQ(problem(path), path + ": No such file or directory");
  EXPECT_EQ(problem(folder.path().string()), folder.path().string() + ": Is a directory");
  EXPECT_EQ(problem("/dev/zero"), "/dev/zero: longer than 64 KB, and so no config file");
  write_file(path, "a = 1\n" + std::string(kLongestConfig - 6, '#'));
  EXPECT_EQ(problem(path), "");
  write_file(path, "a = 1\n" + std::string(kLongestConfig - 5, '#'));
  EXPECT_EQ(problem(path), path + ": longer than 64 KB, and so no config file");
  std::filesystem::resize_file(path, std::uintmax_t{100} << 20);
  EXPECT_EQ(problem(path), path + ": longer than 64 KB, and so no config file");
  write_file(path, "a = b\n");
  EXPECT_EQ(problem(path), path + ":1:5: a text must stand in quotes: a = \"b\"");
}

}  // namespace
}  // namespace fvlm::net
