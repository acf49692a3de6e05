#include "runtime/grammar/schema_values.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

#include "runtime/config/json_file.hpp"
#include "runtime/grammar/formats.hpp"
#include "runtime/grammar/regex.hpp"

namespace fvlm {
namespace {

using Json = SchemaNode::Json;

constexpr std::uint32_t kMaxDivisor = 1000;

// A number of the schema without exponent.
std::string decimal(const SchemaNode& schema, std::string_view keyword) {
  const Json& value = schema.at(keyword);
  if (!value.is_number()) schema.fail("{}: expected a number", keyword);
  if (!value.is_number_float()) return value.dump();
  std::array<char, 400> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value.get<double>(),
                                 std::chars_format::fixed);
  if (end.ec != std::errc()) schema.fail("{}: the number is too long", keyword);
  return {text.data(), end.ptr};
}

// One side's bound. In draft 4 the exclusive keyword is a boolean about the other.
std::optional<NumberBound> bound(const SchemaNode& schema, std::string_view inclusive,
                                 std::string_view exclusive) {
  if (schema.has(exclusive) && !schema.at(exclusive).is_boolean()) {
    if (schema.has(inclusive)) schema.fail("{} beside {} is not supported", exclusive, inclusive);
    return NumberBound(decimal(schema, exclusive), false);
  }
  if (!schema.has(inclusive)) return std::nullopt;
  return NumberBound(decimal(schema, inclusive), !schema.boolean(exclusive, false));
}

std::uint32_t divisor(const SchemaNode& schema) {
  const Json& value = schema.at("multipleOf");
  const double number = value.is_number() ? value.get<double>() : 0;
  if (number < 1 || number > kMaxDivisor || number != std::floor(number)) {
    schema.fail("multipleOf: only whole numbers from 1 to {} are supported", kMaxDivisor);
  }
  return static_cast<std::uint32_t>(number);
}

// Makes an automaton; what is wrong with it is wrong with the keyword.
template <class Make>
CharacterDfa made(const SchemaNode& schema, std::string_view keyword, const Make& make) {
  try {
    return make();
  } catch (const Error& error) {
    schema.fail("{}: {}", keyword, error.what());
  }
}

}  // namespace

StringLimits string_limits(const SchemaNode& schema) {
  const StringLimits limits{schema.count("minLength").value_or(0),
                            schema.count("maxLength").value_or(kUnlimited)};
  if (limits.min > limits.max) schema.fail("minLength is above maxLength");
  return limits;
}

std::optional<ValueText> content_of(const SchemaNode& schema, const StringLimits& limits) {
  if (!schema.has("pattern") && !schema.has("format")) return std::nullopt;
  const std::string pattern = schema.has("pattern") ? schema.text("pattern") : "";
  const std::string format = schema.has("format") ? schema.text("format") : "";
  return ValueText{
      .name = fmt::format("string {} {} {} {}", limits.min, limits.max, format, pattern),
      .automaton = [=] {
        std::optional<CharacterDfa> content;
        if (schema.has("format")) {
          const std::string_view expression = format_expression(format);
          if (expression.empty()) {
            schema.fail("the format {} is not supported: there are {}", in_quotes(format),
                        format_names());
          }
          content = compile_regex(expression, RegexMatch::kWhole);
        }
        if (schema.has("pattern")) {
          content = made(schema, "pattern", [&] {
            const CharacterDfa found = compile_regex(pattern, RegexMatch::kSearch);
            return content ? intersect(*content, found) : found;
          });
        }
        if (limits.min > 0 || limits.max < kUnlimited) {
          const std::optional<std::size_t> most =
              limits.max == kUnlimited ? std::nullopt : std::optional<std::size_t>(limits.max);
          content = made(schema, "minLength or maxLength beside pattern or format",
                         [&] { return with_length(*content, limits.min, most); });
        }
        if (content->empty()) schema.fail("no string satisfies pattern, format and lengths");
        return *content;
      }};
}

std::optional<ValueText> digits_of(const SchemaNode& schema, NumberKind kind) {
  const NumberRange range{.low = bound(schema, "minimum", "exclusiveMinimum"),
                          .high = bound(schema, "maximum", "exclusiveMaximum")};
  const bool integer = kind == NumberKind::kInteger;
  if (!integer && schema.has("multipleOf")) {
    schema.fail("multipleOf is supported for the type integer only");
  }
  if (!integer && !range.low && !range.high) return std::nullopt;
  const std::uint32_t divides = schema.has("multipleOf") ? divisor(schema) : 1;
  const auto name_of = [](const std::optional<NumberBound>& b) {
    return b ? fmt::format("{}{}.{}{}", b->negative ? "-" : "", b->integer, b->fraction,
                           b->inclusive ? "" : " exclusive")
             : "";
  };
  return ValueText{.name = fmt::format("number {} {} {} {}", integer, divides, name_of(range.low),
                                       name_of(range.high)),
                   .automaton = [=] {
                     CharacterDfa digits = made(schema, "minimum or maximum",
                                                [&] { return number_range(range, kind); });
                     if (divides > 1) {
                       digits = made(schema, "multipleOf",
                                     [&] { return intersect(digits, multiples_of(divides)); });
                     }
                     if (digits.empty()) {
                       schema.fail("no {} of at most {} digits is within the bounds",
                                   integer ? "integer" : "number", integer ? 18 : 15);
                     }
                     return digits;
                   }};
}

}  // namespace fvlm
