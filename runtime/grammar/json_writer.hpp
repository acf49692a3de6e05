// JSON's values as rules of a grammar. Any text of them is valid JSON:
//   strings are valid UTF-8 with JSON's escapes (of \uXXXX no half of a surrogate pair);
//   numbers have at most 15 digits before and after the point and a two-digit exponent, integers at
//   most 18 digits, so that readers of doubles and of 64 bits take them;
//   after braces, brackets and commas, and before closing ones, there is nothing, one space, or a
//   line end with at most 40 spaces; after a colon nothing or one space. Nowhere else is white
//   space: an answer cannot run away in it.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/grammar/automaton.hpp"
#include "runtime/grammar/character_dfa.hpp"

namespace fvlm {

class JsonWriter {
 public:
  struct Property {
    std::string name;
    RuleId value;
    bool required;
  };
  // Properties come in this order, then others.
  struct Object {
    std::vector<Property> properties{};
    std::optional<RuleId> others{};         // their values; absent: there are none
    std::vector<std::string> forbidden{};   // names that others do not have, beside the properties'
    std::uint32_t max_others = kUnlimited;  // a bound only if there are no properties
    bool may_be_empty = true;
  };
  struct Array {
    std::vector<RuleId> first{};  // items of their own
    std::optional<RuleId> rest{};
    std::uint32_t min = 0;
    std::uint32_t max = kUnlimited;
  };

  explicit JsonWriter(AutomatonBuilder& builder) : builder_(builder) {}

  // Each rule is made once.
  RuleId string(std::uint32_t min = 0, std::uint32_t max = kUnlimited);  // characters
  RuleId number();
  RuleId boolean();
  RuleId null();
  RuleId value();       // any
  RuleId any_object();  // with any values
  RuleId any_array();

  // A string whose content the automaton accepts; digits and the like that it accepts.
  RuleId string(const CharacterDfa& content);
  RuleId digits(const CharacterDfa& text);
  RuleId object(const Object& object);
  RuleId array(const Array& array);
  // One of the values; strings in them are written in one way.
  RuleId constants(const std::vector<nlohmann::ordered_json>& values);
  RuleId one_of(const std::vector<RuleId>& rules);

 private:
  RuleId make_space();
  RuleId make_string(std::uint32_t min, std::uint32_t max);
  void add_unicode_escape(NodeId escape, NodeId body);
  RuleId structured(const nlohmann::ordered_json& value);
  RuleId items(RuleId item, std::uint32_t min, std::uint32_t max);
  void add_comma(NodeId from, NodeId to, bool counts = false);
  RuleId other_key(const Object& object);
  void add_member(NodeId from, std::string_view key, RuleId value, NodeId to);
  void add_value(NodeId colon, RuleId value, NodeId to);
  template <class Make>
  RuleId once(const std::string& name, const Make& make);

  AutomatonBuilder& builder_;
  std::map<std::string, RuleId> made_;
};

}  // namespace fvlm
