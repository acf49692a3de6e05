#include "runtime/grammar/schema_node.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "runtime/config/json_file.hpp"
#include "runtime/grammar/schema_keywords.hpp"

namespace fvlm {
namespace {

using Json = SchemaNode::Json;

std::string escaped(std::string_view name) {
  std::string result;
  for (const char c : name) {
    if (c == '~') {
      result += "~0";
    } else if (c == '/') {
      result += "~1";
    } else {
      result += c;
    }
  }
  return result;
}

// Percent-encoding undone, as a URI fragment has it.
std::string decoded(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](std::size_t at) -> int {
      const char c = at < text.size() ? text[at] : ' ';
      if (c >= '0' && c <= '9') return c - '0';
      const char lower = static_cast<char>(c | 0x20);
      return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
    };
    if (text[i] == '%' && digit(i + 1) >= 0 && digit(i + 2) >= 0) {
      result += static_cast<char>(16 * digit(i + 1) + digit(i + 2));
      i += 2;
    } else {
      result += text[i];
    }
  }
  return result;
}

}  // namespace

SchemaNode SchemaNode::child(std::string_view keyword) const {
  return {*document_, at(keyword), pointer_ + "/" + escaped(keyword)};
}

SchemaNode SchemaNode::child(std::string_view keyword, std::string_view name) const {
  return {*document_, at(keyword).at(std::string(name)),
          pointer_ + "/" + escaped(keyword) + "/" + escaped(name)};
}

SchemaNode SchemaNode::child(std::string_view keyword, std::size_t index) const {
  return {*document_, at(keyword).at(index),
          pointer_ + "/" + escaped(keyword) + "/" + std::to_string(index)};
}

SchemaNode SchemaNode::target() const {
  const std::string reference = text("$ref");
  if (reference != "#" && !reference.starts_with("#/")) {
    fail("$ref {}: only places in the same schema, #/..., are supported", in_quotes(reference));
  }
  const std::string pointer = decoded(std::string_view(reference).substr(1));
  const Json* value = nullptr;
  try {
    value = &document_->at(Json::json_pointer(pointer));
  } catch (const Json::exception&) {
    fail("$ref {}: there is no such place", in_quotes(reference));
  }
  return {*document_, *value, "#" + pointer};
}

void SchemaNode::check() const {
  if (value_->is_boolean()) return;
  if (!value_->is_object()) fail("expected a schema, an object or a boolean");
  for (const auto& [keyword, unused] : value_->items()) {
    if (use_of(keyword) == KeywordUse::kUnsupported) {
      fail("the keyword {} is not supported", in_quotes(keyword));
    }
  }
}

void SchemaNode::allow_only(std::initializer_list<std::string_view> keywords,
                            std::string_view why) const {
  for (const auto& [keyword, unused] : value_->items()) {
    if (use_of(keyword) == KeywordUse::kIgnored) continue;
    if (std::find(keywords.begin(), keywords.end(), keyword) == keywords.end()) {
      fail("the keyword {} {} is not supported", in_quotes(keyword), why);
    }
  }
}

const Json& SchemaNode::array(std::string_view keyword) const {
  const Json& value = at(keyword);
  if (!value.is_array()) fail("{}: expected an array", keyword);
  return value;
}

const Json& SchemaNode::object(std::string_view keyword) const {
  const Json& value = at(keyword);
  if (!value.is_object()) fail("{}: expected an object", keyword);
  return value;
}

std::string SchemaNode::text(std::string_view keyword) const {
  const Json& value = at(keyword);
  if (!value.is_string()) fail("{}: expected a string", keyword);
  return value.get<std::string>();
}

bool SchemaNode::boolean(std::string_view keyword, bool otherwise) const {
  if (!has(keyword)) return otherwise;
  const Json& value = at(keyword);
  if (!value.is_boolean()) fail("{}: expected true or false", keyword);
  return value.get<bool>();
}

std::optional<std::uint32_t> SchemaNode::count(std::string_view keyword) const {
  if (!has(keyword)) return std::nullopt;
  constexpr double kMost = 1e9;
  const Json& value = at(keyword);
  const double number = value.is_number() ? value.get<double>() : -1;
  if (!(number >= 0) || number > kMost || number != std::floor(number)) {
    fail("{}: expected a whole number from 0 to 1000000000", keyword);
  }
  return static_cast<std::uint32_t>(number);
}

std::vector<std::string> SchemaNode::names(std::string_view keyword) const {
  std::vector<std::string> names;
  if (!has(keyword)) return names;
  for (const Json& name : array(keyword)) {
    if (!name.is_string()) fail("{}: expected an array of strings", keyword);
    names.push_back(name.get<std::string>());
  }
  return names;
}

}  // namespace fvlm
