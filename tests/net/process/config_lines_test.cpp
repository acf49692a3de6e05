// What a config file's reader would take for something else is refused, with its line.
#include "net/process/config_lines.hpp"

#include <gtest/gtest.h>

#include <string>

namespace fvlm::net {
namespace {

std::string wrong(const std::string& text, ConfigTables tables = ConfigTables::kNone) {
  return wrong_config_line(text, tables);
}

TEST(ConfigLines, WhatTomlHasIsRight) {
  EXPECT_EQ(wrong("# comment\n\nport = 0\r\nhost = \"::1\" # here\ntuning = true\n"
                  "prompt = \"a \\\"b\\\" # ] c\"\nname = 'C:\\'\n"
                  "allow-origin = [ \"https://a\", 'b]', ] # both\nnone = []\nx=-1.5e3"),
            "");
  EXPECT_EQ(wrong("[[camera]]\nname = \"a\"\n", ConfigTables::kMayBe), "");
}

TEST(ConfigLines, WhatIsBrokenIsNamed) {
  EXPECT_EQ(wrong("a = 1\nallow-origin = [\"https://a\", \"https://b\"\napi-key = \"secret\"\n"),
            "line 2: an array must end with ] on its line");
  EXPECT_EQ(wrong("host = \"127.0.0.1\n"), "line 1: a text has no closing \"");
  EXPECT_EQ(wrong("host = \"a\\\"\n"), "line 1: a text has no closing \"");
  EXPECT_EQ(wrong("host = 127.0.0.1\"\n"), "line 1: a text must stand in quotes");
  EXPECT_EQ(wrong("port =\n"), "line 1: a value is missing");
  EXPECT_EQ(wrong("port = # 1\n"), "line 1: a value is missing");
  EXPECT_EQ(wrong("port = 1 2\n"), "line 1: there is something behind the value");
  EXPECT_EQ(wrong("list = [1 2]\n"), "line 1: an array must end with ] on its line");
  EXPECT_EQ(wrong("port\n"), "line 1: expected a flag without its dashes, = and a value");
  EXPECT_EQ(wrong("\n[server]\n"), "line 2: there are no tables in this file");
}

}  // namespace
}  // namespace fvlm::net
