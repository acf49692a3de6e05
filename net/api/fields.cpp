#include "net/api/fields.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "net/http/one_line.hpp"

namespace fvlm::net {
namespace {

constexpr std::size_t kLongestName = 80;

const KnownField* find(std::string_view name,
                       std::initializer_list<std::span<const KnownField>> known) {
  for (const std::span<const KnownField> fields : known) {
    const auto found =
        std::ranges::find_if(fields, [&](const KnownField& one) { return one.name == name; });
    if (found != fields.end()) return &*found;
  }
  return nullptr;
}

// The values that are taken, as a text such as ", except 0"; empty if only null is.
std::string except(const Json& taken) {
  std::string text;
  for (const Json& value : taken) text += (text.empty() ? ", except " : " or ") + dump(value);
  return text;
}

std::string at(const std::string& place, const std::string& name) {
  return place.empty() ? name : place + "." + name;
}

}  // namespace

std::optional<ApiError> read_number(const Json& object, const char* key, double& value) {
  const Json* found = field(object, key);
  if (found == nullptr) return std::nullopt;
  if (!found->is_number()) return wrong(key, fmt::format("\"{}\" must be a number", key));
  value = found->get<double>();
  return std::nullopt;
}

std::optional<ApiError> read_integer(const Json& object, const char* key, std::int64_t& value) {
  const Json* found = field(object, key);
  if (found == nullptr) return std::nullopt;
  if (!found->is_number_integer() ||
      (found->is_number_unsigned() && found->get<std::uint64_t>() > INT64_MAX)) {
    return wrong(key, fmt::format("\"{}\" must be a whole number", key));
  }
  value = found->get<std::int64_t>();
  return std::nullopt;
}

std::optional<ApiError> read_text(const Json& object, const char* key, std::string& value) {
  const Json* found = field(object, key);
  if (found == nullptr) return std::nullopt;
  if (!found->is_string()) return wrong(key, fmt::format("\"{}\" must be a text", key));
  value = found->get<std::string>();
  return std::nullopt;
}

std::optional<ApiError> read_flag(const Json& object, const char* key, bool& value) {
  const Json* found = field(object, key);
  if (found == nullptr) return std::nullopt;
  if (!found->is_boolean()) return wrong(key, fmt::format("\"{}\" must be true or false", key));
  value = found->get<bool>();
  return std::nullopt;
}

std::optional<ApiError> check_fields(const Json& object, const std::string& place,
                                     std::initializer_list<std::span<const KnownField>> known) {
  for (const auto& [name, value] : object.items()) {
    if (value.is_null()) continue;
    const std::string quoted = one_line(name, kLongestName);
    const KnownField* one = find(name, known);
    if (one == nullptr) {
      return wrong(at(place, quoted), fmt::format("\"{}\" is not known here", quoted),
                   "unknown_parameter");
    }
    if (one->values == nullptr || one->values == std::string_view(kAnything)) continue;
    const Json taken = Json::parse(one->values);
    if (std::ranges::find(taken, value) != taken.end()) continue;
    return wrong(at(place, quoted),
                 fmt::format("\"{}\" is not supported here{}{}{}", quoted, except(taken),
                             *one->why == 0 ? "" : ": ", one->why),
                 "unsupported_parameter");
  }
  return std::nullopt;
}

}  // namespace fvlm::net
