// Type and range checks of single configuration keys.
#include "runtime/config/config_object.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "kernels/support/make_error.hpp"
#include "runtime/config/json_file.hpp"

namespace fvlm {

using nlohmann::json;

namespace {

// Far above any model, and small enough that a product of two sizes and an element's bytes cannot
// overflow 64 bits.
constexpr std::int64_t kMaxSize = std::int64_t{1} << 24;

std::string shown(const json& value) {
  constexpr std::size_t kMaxLength = 60;
  std::string text = value.dump(-1, ' ', true);
  if (text.size() > kMaxLength) text.replace(kMaxLength, std::string::npos, "...");
  return text;
}

}  // namespace

ConfigObject::ConfigObject(std::string file, const json& object, std::string prefix)
    : file_(std::move(file)), object_(object), prefix_(std::move(prefix)) {}

std::vector<std::string> ConfigObject::keys() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : object_.items()) {
    if (!value.is_null()) names.push_back(name);
  }
  return names;
}

std::string ConfigObject::place() const {
  if (prefix_.empty()) return file_;
  return fmt::format("{}: \"{}\"", file_, std::string_view(prefix_).substr(0, prefix_.size() - 1));
}

std::int64_t ConfigObject::size(std::string_view key) const {
  return size_of(key, require(key));
}

std::int64_t ConfigObject::size_or(std::string_view key, std::int64_t otherwise) const {
  const json* value = find(key);
  return value != nullptr ? size_of(key, *value) : otherwise;
}

std::vector<std::int64_t> ConfigObject::sizes(std::string_view key) const {
  const json& list = require(key);
  if (!list.is_array()) fail_type(key, "a list of whole numbers", list);
  std::vector<std::int64_t> sizes;
  for (const json& value : list) sizes.push_back(size_of(key, value));
  return sizes;
}

double ConfigObject::positive(std::string_view key) const {
  return positive_of(key, require(key));
}

double ConfigObject::positive_or(std::string_view key, double otherwise) const {
  const json* value = find(key);
  return value != nullptr ? positive_of(key, *value) : otherwise;
}

std::vector<double> ConfigObject::numbers(std::string_view key) const {
  const json& found = require(key);
  std::vector<double> numbers;
  for (const json& value : found.is_array() ? found : json::array({found})) {
    if (!value.is_number()) fail_type(key, "a number or a list of numbers", found);
    numbers.push_back(value.get<double>());
  }
  return numbers;
}

std::optional<bool> ConfigObject::boolean(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) fail_type(key, "true or false", *value);
  return value->get<bool>();
}

std::string ConfigObject::text(std::string_view key) const {
  const json& value = require(key);
  if (!value.is_string()) fail_type(key, "a text", value);
  return value.get<std::string>();
}

std::vector<std::string> ConfigObject::texts(std::string_view key) const {
  const json& list = require(key);
  if (!list.is_array()) fail_type(key, "a list of texts", list);
  std::vector<std::string> texts;
  for (const json& value : list) {
    if (!value.is_string()) fail_type(key, "a list of texts", value);
    texts.push_back(value.get<std::string>());
  }
  return texts;
}

std::vector<std::int32_t> ConfigObject::token_ids(std::string_view key,
                                                  std::int64_t vocab_size) const {
  const json* found = find(key);
  if (found == nullptr) return {};
  std::vector<std::int32_t> ids;
  for (const json& value : found->is_array() ? *found : json::array({*found})) {
    const bool natural = value.is_number_unsigned();
    if (!natural || value.get<std::uint64_t>() >= static_cast<std::uint64_t>(vocab_size)) {
      fail_type(key, fmt::format("token ids from 0 to {}", vocab_size - 1), value);
    }
    ids.push_back(value.get<std::int32_t>());
  }
  return ids;
}

std::optional<ConfigObject> ConfigObject::object(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) fail_type(key, "an object", *value);
  return ConfigObject(file_, *value, fmt::format("{}{}.", prefix_, key));
}

void ConfigObject::expect(std::string_view key, const json& only) const {
  const json* value = find(key);
  if (value != nullptr && *value != only) {
    fail(key, fmt::format("{} is not supported, only {}", shown(*value), shown(only)));
  }
}

void ConfigObject::expect_one_of(std::string_view key, const json& values,
                                 std::string_view meaning) const {
  const json* value = find(key);
  if (value == nullptr || std::ranges::find(values, *value) != values.end()) return;
  std::vector<std::string> supported;
  for (const json& one : values) supported.push_back(shown(one));
  const std::string only = supported.empty() ? "" : ", only ";
  fail(key, fmt::format("{} is not supported{}{}: it means {}", shown(*value), only,
                        fmt::join(supported, " or "), meaning));
}

void ConfigObject::fail(std::string_view key, std::string_view message) const {
  throw make_error("{}: key \"{}{}\": {}", file_, prefix_, key, message);
}

const json* ConfigObject::find(std::string_view key) const {
  const auto found = object_.find(std::string(key));
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

const json& ConfigObject::require(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) throw make_error("{}: missing key \"{}{}\"", file_, prefix_, key);
  return *value;
}

void ConfigObject::fail_type(std::string_view key, std::string_view expected,
                             const json& found) const {
  fail(key, fmt::format("expected {}, found {}", expected, shown(found)));
}

std::int64_t ConfigObject::size_of(std::string_view key, const json& value) const {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() < 1 ||
      value.get<std::uint64_t>() > static_cast<std::uint64_t>(kMaxSize)) {
    fail_type(key, fmt::format("a whole number from 1 to {}", kMaxSize), value);
  }
  return value.get<std::int64_t>();
}

double ConfigObject::positive_of(std::string_view key, const json& value) const {
  if (!value.is_number() || !std::isfinite(value.get<double>()) || value.get<double>() <= 0) {
    fail_type(key, "a number above 0", value);
  }
  return value.get<double>();
}

}  // namespace fvlm
