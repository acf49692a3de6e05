// One schema inside a JSON Schema document: its keywords, read with messages that say where they
// are, as JSON pointers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/support/make_error.hpp"

namespace fvlm {

class SchemaNode {
 public:
  using Json = nlohmann::ordered_json;

  // The document's own schema.
  explicit SchemaNode(const Json& document) : SchemaNode(document, document, "#") {}

  bool is_boolean() const { return value_->is_boolean(); }
  const Json& json() const { return *value_; }
  const std::string& pointer() const { return pointer_; }
  bool has(std::string_view keyword) const { return value_->contains(keyword); }
  const Json& at(std::string_view keyword) const { return value_->at(std::string(keyword)); }

  SchemaNode child(std::string_view keyword) const;
  SchemaNode child(std::string_view keyword, std::string_view name) const;
  SchemaNode child(std::string_view keyword, std::size_t index) const;
  // What "$ref" refers to: a place in the same document.
  SchemaNode target() const;

  // Refuses what is no schema, and keywords that are not supported.
  void check() const;
  // Refuses keywords that are applied, but are none of these.
  void allow_only(std::initializer_list<std::string_view> keywords, std::string_view why) const;

  // Checked values of keywords.
  const Json& array(std::string_view keyword) const;
  const Json& object(std::string_view keyword) const;
  std::string text(std::string_view keyword) const;
  bool boolean(std::string_view keyword, bool otherwise) const;
  std::optional<std::uint32_t> count(std::string_view keyword) const;
  std::vector<std::string> names(std::string_view keyword) const;  // an array of strings

  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw make_error("JSON schema, {}: {}", pointer_,
                     fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  SchemaNode(const Json& document, const Json& value, std::string pointer)
      : document_(&document), value_(&value), pointer_(std::move(pointer)) {}

  const Json* document_;
  const Json* value_;
  std::string pointer_;
};

}  // namespace fvlm
