// Untrusted JSON files: what is refused, and that reading takes time linear in the size, however a
// file is crafted.
#include "runtime/config/json_file.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "fvlm/error.hpp"
#include "tests/support/cost.hpp"

namespace fvlm {
namespace {

std::string refusal(const std::string& text) {
  try {
    parse_json_object(text, "file");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// {"list": [ELEMENT, ELEMENT, ...]}
std::string list_of(const std::string& element, std::size_t count) {
  std::string text = "{\"list\": [" + element;
  for (std::size_t i = 1; i < count; ++i) text += "," + element;
  return text + "]}";
}

TEST(JsonFile, IsReadStrictly) {
  EXPECT_EQ(parse_json_object(R"({"a": {"b": 1}, "c": [{"b": 2}, {"b": 3}]})", "file")["c"].size(),
            2U);
  for (const auto& [text, part] :
       {std::pair(R"({"a": 1, "a": 2})", "key \"a\" appears twice"),
        {R"({"x": [{"a": 1}, {"b": 1, "b": 2}]})", "key \"b\" appears twice"},
        {R"({"a": )", "not valid JSON (near byte"},
        {R"({"a": 1e999})", "a number out of range"},
        {R"({"a": 1} x)", "not valid JSON"},
        {"[1]", "expected a JSON object, found array"}}) {
    EXPECT_NE(refusal(text).find(part), std::string::npos) << text << ": " << refusal(text);
  }
  const auto nested = [](std::size_t levels) {
    return "{\"a\":" + std::string(levels - 1, '[') + std::string(levels - 1, ']') + "}";
  };
  EXPECT_EQ(refusal(nested(32)), "");
  EXPECT_EQ(refusal(nested(33)), "file: JSON nested deeper than 32 levels");
  EXPECT_EQ(refusal(list_of("1", 2'000'000)), "file: more than 2000000 JSON values");
}

TEST(JsonFile, TakesTimeInProportionToItsSize) {
  const auto read = [](const std::string& text) { parse_json_object(text, "file"); };
  for (const std::string element : {"{}", "[1]", R"({"a": {"b": "c"}})", "1.5"}) {
    EXPECT_LT(growth(
                  10'000, [&](std::size_t n) { return list_of(element, n); }, read),
              kMostGrowth)
        << element;
  }
  const auto keys = [](std::size_t n) {
    std::string text = "{\"last\": {}";
    for (std::size_t i = 0; i < n; ++i) text += ",\"" + std::to_string(i) + "\": {}";
    return text + "}";
  };
  EXPECT_LT(growth(10'000, keys, read), kMostGrowth);
}

}  // namespace
}  // namespace fvlm
