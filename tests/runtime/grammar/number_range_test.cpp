// Numbers within bounds: every number near the bounds, against comparison of doubles.
#include "runtime/grammar/number_range.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace fvlm {
namespace {

std::optional<NumberBound> bound_of(const std::string& text, bool inclusive) {
  if (text.empty()) return std::nullopt;
  return NumberBound(text, inclusive);
}

bool within(double value, const std::string& low, const std::string& high, bool inclusive) {
  const auto above = [&](const std::string& text) {
    return text.empty() || value > std::stod(text) || (inclusive && value == std::stod(text));
  };
  const auto below = [&](const std::string& text) {
    return text.empty() || value < std::stod(text) || (inclusive && value == std::stod(text));
  };
  return above(low) && below(high);
}

TEST(NumberRange, IntegersExactly) {
  const std::vector<std::pair<std::string, std::string>> ranges = {
      {"0", "9"},   {"1", "100"}, {"-5", "5"},     {"-120", "-9"}, {"7", "7"},
      {"", "3"},    {"-3", ""},   {"", ""},        {"99", "1001"}, {"0.5", "3.5"},
      {"-0.5", ""}, {"5", "4"},   {"-1000", "12"}, {"", "-7"},     {"10", ""}};
  for (const auto& [low, high] : ranges) {
    for (const bool inclusive : {true, false}) {
      const CharacterDfa dfa =
          number_range({bound_of(low, inclusive), bound_of(high, inclusive)}, NumberKind::kInteger);
      for (int i = -1200; i <= 1200; ++i) {
        ASSERT_EQ(dfa.matches(std::to_string(i)), within(i, low, high, inclusive))
            << i << " in " << low << " to " << high << " " << inclusive;
      }
      for (const char* wrong : {"", "-", "-0", "00", "01", "+1", "1.0", "1e0", " 1"}) {
        EXPECT_FALSE(dfa.matches(wrong)) << wrong;
      }
    }
  }
}

TEST(NumberRange, IntegersHaveAtMostEighteenDigits) {
  const CharacterDfa any = number_range({}, NumberKind::kInteger);
  EXPECT_TRUE(any.matches(std::string(18, '9')));
  EXPECT_TRUE(any.matches("-" + std::string(18, '9')));
  EXPECT_FALSE(any.matches(std::string(19, '9')));
  EXPECT_TRUE(
      number_range({NumberBound("9999999999999999999", true), {}}, NumberKind::kInteger).empty());
}

TEST(NumberRange, NumbersExactly) {
  const std::vector<std::pair<std::string, std::string>> ranges = {
      {"0", "1"},  {"-1", "1"}, {"0.25", "0.75"}, {"-0.5", "-0.25"}, {"3", "3.5"},
      {"0.5", ""}, {"", "0.5"}, {"", ""},         {"1.1", "1.1"},    {"-2", "0"}};
  for (const auto& [low, high] : ranges) {
    for (const bool inclusive : {true, false}) {
      const CharacterDfa dfa =
          number_range({bound_of(low, inclusive), bound_of(high, inclusive)}, NumberKind::kNumber);
      for (int i = -4000; i <= 4000; ++i) {
        const double value = i / 1000.0;
        if (i == 0) continue;  // written below
        const std::string text = fmt::format("{:.3f}", value);
        ASSERT_EQ(dfa.matches(text), within(value, low, high, inclusive))
            << text << " in " << low << " to " << high << " " << inclusive;
      }
      for (const char* zero : {"0", "0.0", "0.000"}) {
        EXPECT_EQ(dfa.matches(zero), within(0, low, high, inclusive)) << zero << low << " " << high;
      }
      for (const char* wrong : {"", "-", "-0", "-0.0", ".5", "1.", "01.5", "1e0", "1..5"}) {
        EXPECT_FALSE(dfa.matches(wrong)) << wrong;
      }
    }
  }
}

TEST(NumberRange, MultiplesExactly) {
  for (const std::uint32_t divisor : {1U, 2U, 7U, 25U, 100U}) {
    const CharacterDfa dfa =
        intersect(number_range({}, NumberKind::kInteger), multiples_of(divisor));
    for (int i = -3000; i <= 3000; ++i) {
      ASSERT_EQ(dfa.matches(std::to_string(i)), i % static_cast<int>(divisor) == 0)
          << i << " " << divisor;
    }
  }
}

}  // namespace
}  // namespace fvlm
