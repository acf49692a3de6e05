#include "runtime/grammar/formats.hpp"

#include <string>
#include <utility>
#include <vector>

namespace fvlm {
namespace {

// RFC 3339, with the lengths of months and leap years of the Gregorian calendar.
const std::string& date() {
  static const std::string expression = [] {
    const std::string year = "(000[1-9]|00[1-9]\\d|0[1-9]\\d{2}|[1-9]\\d{3})";
    const std::string leap =
        "(\\d{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)";
    return "(" + year + "-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|" +
           "(0[469]|11)-(0[1-9]|[12]\\d|30)|02-(0[1-9]|1\\d|2[0-8]))|" + leap + "-02-29)";
  }();
  return expression;
}

const std::string kTime =
    "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)";
const std::string kLabel = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
const std::string kHostname = kLabel + "(\\." + kLabel + "){0,3}";  // with 255 characters at most
const std::string kByte = "(25[0-5]|2[0-4]\\d|1\\d{2}|[1-9]?\\d)";
const std::string kIpv4 = kByte + "(\\." + kByte + "){3}";

// RFC 4291, with one "::" for two or more groups of zeros.
std::string ipv6() {
  const std::string group = "[0-9A-Fa-f]{1,4}";
  std::string expression = "((" + group + ":){7}" + group;
  for (int before = 0; before <= 6; ++before) {
    const std::string left =
        before == 0 ? "" : group + "(:" + group + "){" + std::to_string(before - 1) + "}";
    const std::string right =
        "(" + group + "(:" + group + "){0," + std::to_string(5 - before) + "})?";
    expression += "|" + left + "::" + (before == 6 ? "" : right);
  }
  return expression + ")";
}

// ISO 8601 as RFC 3339, appendix A has it: weeks, or units in order without gaps.
std::string duration() {
  const std::string n = "\\d{1,9}";
  const std::string time =
      "(" + n + "H(" + n + "M(" + n + "S)?)?|" + n + "M(" + n + "S)?|" + n + "S)";
  const std::string days = n + "D";
  const std::string months = n + "M(" + days + ")?";
  const std::string years = n + "Y(" + months + ")?";
  return "P(" + n + "W|(" + years + "|" + months + "|" + days + ")(T" + time + ")?|T" + time + ")";
}

const std::vector<std::pair<std::string, std::string>>& formats() {
  static const std::vector<std::pair<std::string, std::string>> all = {
      {"date", date()},
      {"time", kTime},
      {"date-time", date() + "T" + kTime},
      {"duration", duration()},
      {"email", "[A-Za-z0-9_+-]+(\\.[A-Za-z0-9_+-]+){0,3}@" + kHostname},
      {"hostname", kHostname},
      {"ipv4", kIpv4},
      {"ipv6", ipv6()},
      {"uri",
       "[a-z][a-z0-9+.-]{0,15}://" + kHostname +
           "(:[1-9]\\d{0,3})?(/[A-Za-z0-9._~-]*)*(\\?[A-Za-z0-9._~=&-]*)?(#[A-Za-z0-9._~-]*)?"},
      {"uuid", "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"},
  };
  return all;
}

}  // namespace

std::string_view format_expression(std::string_view format) {
  for (const auto& [name, expression] : formats()) {
    if (name == format) return expression;
  }
  return {};
}

std::string_view format_names() {
  static const std::string names = [] {
    std::string joined;
    for (const auto& [name, expression] : formats()) {
      joined += (joined.empty() ? "" : ", ") + name;
    }
    return joined;
  }();
  return names;
}

}  // namespace fvlm
