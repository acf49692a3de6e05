// A config file's keys as flags of CLI11: names, kinds, ranges, and what comes before what.
#include "net/command_line/config_flags.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace fvlm::net {
namespace {

class ConfigFlags : public testing::Test {
 protected:
  ConfigFlags() {
    app.add_option("--host", host);
    app.add_option("--idle-timeout,--longest-silence", timeout)->check(CLI::Range(0.01, 100.0));
    app.add_option("--port", port)->check(CLI::Range(0, 65535));
    app.add_option("--origin", origins)->take_all()->allow_extra_args(false);
    app.add_option("--interval", interval)->type_name("TIME");
    app.add_flag("--drafts,!--no-drafts", drafts);
    CLI::Option* const quiet = app.add_flag("--quiet", is_quiet);
    app.add_flag("--verbose", is_verbose)->excludes(quiet);
    app.add_option("--config", not_of_files)->configurable(false);
  }

  void apply(const std::string& text, std::vector<std::string> arguments = {}) {
    app.parse(arguments);
    const ConfigFile file = parse_config(text, "f");
    apply_config(app, file.path, file.entries);
  }
  std::string problem_of(const std::string& text) {
    try {
      apply(text);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return {};
  }

  CLI::App app{};
  std::string host = "default";
  std::string interval{};
  std::string not_of_files{};
  double timeout = 0;
  int port = 5000;
  std::vector<std::string> origins{};
  bool drafts = true;
  bool is_quiet = false;
  bool is_verbose = false;
};

TEST_F(ConfigFlags, TakeTheFilesValues) {
  apply(
      "host = \"::1\"\nlongest-silence = 3\nport = 0\norigin = [\"a,b\", \"[c]\"]\n"
      "drafts = false\nquiet = true\ninterval = 0.5\n");
  EXPECT_EQ(host, "::1");
  EXPECT_EQ(timeout, 3);
  EXPECT_EQ(port, 0);
  EXPECT_EQ(origins, (std::vector<std::string>{"a,b", "[c]"}));
  EXPECT_FALSE(drafts);
  EXPECT_TRUE(is_quiet);
  EXPECT_EQ(interval, "0.5");
}

TEST_F(ConfigFlags, TakeOtherNamesAndSingleValuesOfLists) {
  apply("no-drafts = true\norigin = \"a\"\ninterval = \"2s\"");
  EXPECT_FALSE(drafts);
  EXPECT_EQ(origins, std::vector<std::string>{"a"});
  EXPECT_EQ(host, "default");
}

TEST_F(ConfigFlags, OfTheCommandLineComeFirst) {
  // CLI11 takes the last argument first.
  apply("host = \"::1\"\nport = 2\norigin = [\"a\"]\nquiet = true\n",
        {"--verbose", "b", "--origin", "1", "--port"});
  EXPECT_EQ(host, "::1");
  EXPECT_EQ(port, 1);
  EXPECT_EQ(origins, std::vector<std::string>{"b"});
  EXPECT_TRUE(is_verbose);
  EXPECT_FALSE(is_quiet);
}

TEST_F(ConfigFlags, UnknownKeysAreRefusedWithTheNearest) {
  EXPECT_EQ(problem_of("\nprot = 1\n"), "f:2:1: there is no key prot: did you mean port?");
  EXPECT_EQ(problem_of("longest_silense = 1\n"),
            "f:1:1: there is no key longest_silense: did you mean longest-silence?");
  EXPECT_EQ(problem_of("colour = 1\n"),
            "f:1:1: there is no key colour; keys are the flags of --help without their dashes");
  EXPECT_EQ(problem_of("config = \"f\"\n").substr(0, 29), "f:1:1: there is no key config");
  EXPECT_EQ(problem_of("help = true\n").substr(0, 27), "f:1:1: there is no key help");
}

TEST_F(ConfigFlags, WrongKindsAreRefusedWithTheRightOne) {
  EXPECT_EQ(problem_of("host = 5\n"), "f:1:8: host: expected a text in quotes: host = \"5\"");
  EXPECT_EQ(problem_of("origin = [\"a\", 5]\n"),
            "f:1:16: origin: expected a text in quotes: origin = \"5\"");
  EXPECT_EQ(problem_of("port = \"5\"\n"), "f:1:8: port: expected a whole number, without quotes");
  EXPECT_EQ(problem_of("port = 5.5\n"), "f:1:8: port: expected a whole number, without quotes");
  EXPECT_EQ(problem_of("port = true\n"), "f:1:8: port: expected a whole number, without quotes");
  EXPECT_EQ(problem_of("idle-timeout = \"5\"\n"),
            "f:1:16: idle-timeout: expected a number, without quotes");
  EXPECT_EQ(problem_of("drafts = \"true\"\n"),
            "f:1:10: drafts: expected true or false: drafts = true");
  EXPECT_EQ(problem_of("drafts = 1\n"), "f:1:10: drafts: expected true or false: drafts = true");
  EXPECT_EQ(problem_of("port = [1, 2]\n"), "f:1:1: port has one value, and no array");
  EXPECT_EQ(problem_of("port = []\n"), "f:1:1: port has one value, and no array");
}

TEST_F(ConfigFlags, ValuesOutOfRangeAreRefusedWithTheirPlace) {
  const std::string problem = problem_of("# one\nport = 70000\n");
  EXPECT_EQ(problem.substr(0, 15), "f:2:8: --port: ") << problem;
  EXPECT_NE(problem.find("70000"), problem.npos) << problem;
  EXPECT_EQ(problem_of("longest-silence = -1\n").substr(0, 23), "f:1:19: --idle-timeout:");
}

TEST_F(ConfigFlags, ThatContradictEachOtherAreRefused) {
  EXPECT_EQ(problem_of("idle-timeout = 1\nlongest-silence = 2\n"),
            "f:2:1: idle-timeout and longest-silence are one flag; keep one of them");
  EXPECT_EQ(problem_of("drafts = true\nno-drafts = true\n"),
            "f:2:1: drafts and no-drafts are one flag; keep one of them");
  EXPECT_EQ(problem_of("verbose = true\nquiet = true\n"),
            "f:2:1: verbose and quiet exclude each other; keep one of them");
}

}  // namespace
}  // namespace fvlm::net
