#include "runtime/grammar/json_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <nlohmann/json.hpp>

#include "runtime/grammar/character_writer.hpp"
#include "runtime/grammar/regex.hpp"
#include "runtime/tokenizer/unicode.hpp"

namespace fvlm {
namespace {

using nlohmann::ordered_json;

constexpr std::uint32_t kMaxIndentation = 40;

const CharacterSet& unescaped() {
  static const CharacterSet set = ~CharacterSet{{0, 0x1F}, {'"', '"'}, {'\\', '\\'}};
  return set;
}

// All texts without escapes but the names.
CharacterDfa all_but(const std::vector<std::string>& names) {
  CharacterDfa dfa;
  dfa.nodes.resize(2);
  constexpr CharacterDfa::State kFree = 1;
  dfa.nodes[kFree] = {.edges = {{unescaped(), kFree}}, .accepts = true};
  dfa.nodes[0].accepts = true;
  for (std::string_view rest : names) {
    CharacterDfa::State state = 0;
    while (!rest.empty()) {
      const Utf8Character character = first_character(rest);
      rest.remove_prefix(character.length);
      const CharacterSet set = CharacterSet::of(character.code_point);
      const auto& edges = dfa.nodes[state].edges;
      const auto known =
          std::find_if(edges.begin(), edges.end(), [&](const auto& e) { return e.set == set; });
      if (known != edges.end()) {
        state = known->target;
        continue;
      }
      const auto next = static_cast<CharacterDfa::State>(dfa.nodes.size());
      dfa.nodes[state].edges.push_back({set, next});
      dfa.nodes.push_back({.edges = {}, .accepts = true});
      state = next;
    }
    dfa.nodes[state].accepts = false;
  }
  for (std::size_t n = 0; n < dfa.nodes.size(); ++n) {
    if (n == kFree) continue;
    std::vector<CharacterRange> taken;
    for (const auto& edge : dfa.nodes[n].edges) taken.push_back(edge.set.ranges().front());
    dfa.nodes[n].edges.push_back({unescaped() & ~CharacterSet(std::move(taken)), kFree});
  }
  return dfa;
}

}  // namespace

template <class Make>
RuleId JsonWriter::once(const std::string& name, const Make& make) {
  if (const auto known = made_.find(name); known != made_.end()) return known->second;
  const RuleId rule = make();
  made_.emplace(name, rule);
  return rule;
}

RuleId JsonWriter::make_space() {
  return once("space", [&] {
    const RuleId rule = builder_.add_rule(0, kMaxIndentation);
    const NodeId start = builder_.start(rule);
    const NodeId end = builder_.end(rule);
    const NodeId line = builder_.add_node(rule);
    builder_.add_empty(start, end);
    builder_.add_text(start, " ", end);
    builder_.add_text(start, "\n", line);
    builder_.add_text(line, " ", line, true);
    builder_.add_empty(line, end);
    return rule;
  });
}

RuleId JsonWriter::string(std::uint32_t min, std::uint32_t max) {
  return once(fmt::format("string {} {}", min, max), [&] { return make_string(min, max); });
}

RuleId JsonWriter::make_string(std::uint32_t min, std::uint32_t max) {
  const RuleId rule = builder_.add_rule(min, max);
  const bool counts = min > 0 || max < kUnlimited;
  const NodeId body = builder_.add_node(rule);
  const NodeId escape = builder_.add_node(rule);
  builder_.add_text(builder_.start(rule), "\"", body);
  builder_.add_text(body, "\"", builder_.end(rule));
  CharacterWriter(builder_, CharacterWriter::Encoding::kPlain).add(body, unescaped(), body, counts);
  builder_.add_bytes(body, '\\', '\\', escape, counts);
  for (const char c : std::string_view("\"\\/bfnrt")) {
    builder_.add_text(escape, std::string_view(&c, 1), body);
  }
  add_unicode_escape(escape, body);
  return rule;
}

void JsonWriter::add_unicode_escape(NodeId escape, NodeId body) {
  const auto node = [&] { return builder_.add_node(builder_.rule_of(body)); };
  const auto digits = [&](NodeId from, std::string_view set, NodeId to) {
    for (const char c : set) builder_.add_text(from, std::string_view(&c, 1), to);
  };
  constexpr std::string_view kHex = "0123456789abcdefABCDEF";
  const NodeId four = node();  // so many digits are left
  const NodeId three = node();
  const NodeId two = node();
  const NodeId one = node();
  builder_.add_text(escape, "u", four);
  digits(four, "0123456789abcefABCEF", three);
  digits(three, kHex, two);
  digits(two, kHex, one);
  digits(one, kHex, body);
  // A first half of a surrogate pair, D800 to DBFF, wants a second one, DC00 to DFFF.
  const NodeId d = node();
  const NodeId first_two = node();
  const NodeId first_one = node();
  const NodeId first = node();
  const NodeId second_four = node();
  const NodeId second_d = node();
  digits(four, "dD", d);
  digits(d, "01234567", two);
  digits(d, "89abAB", first_two);
  digits(first_two, kHex, first_one);
  digits(first_one, kHex, first);
  builder_.add_text(first, "\\u", second_four);
  digits(second_four, "dD", second_d);
  digits(second_d, "cdefCDEF", two);
}

RuleId JsonWriter::number() {
  return once("number", [&] {
    return digits(compile_regex("-?(0|[1-9][0-9]{0,14})(\\.[0-9]{1,15})?([eE][+-]?[0-9]{1,2})?",
                                RegexMatch::kWhole));
  });
}

RuleId JsonWriter::boolean() {
  return once("boolean", [&] {
    const RuleId rule = builder_.add_rule();
    builder_.add_text(builder_.start(rule), "true", builder_.end(rule));
    builder_.add_text(builder_.start(rule), "false", builder_.end(rule));
    return rule;
  });
}

RuleId JsonWriter::null() {
  return once("null", [&] {
    const RuleId rule = builder_.add_rule();
    builder_.add_text(builder_.start(rule), "null", builder_.end(rule));
    return rule;
  });
}

RuleId JsonWriter::value() {
  if (const auto known = made_.find("value"); known != made_.end()) return known->second;
  const RuleId rule = builder_.add_rule();
  made_.emplace("value", rule);
  for (const RuleId kind : {string(), number(), boolean(), null(), any_object(), any_array()}) {
    builder_.add_call(builder_.start(rule), kind, builder_.end(rule));
  }
  return rule;
}

RuleId JsonWriter::any_object() {
  const RuleId any = value();
  return once("object", [&] { return object({.others = any}); });
}

RuleId JsonWriter::any_array() {
  const RuleId any = value();
  return once("array", [&] { return array({.rest = any}); });
}

RuleId JsonWriter::string(const CharacterDfa& content) {
  const RuleId rule = builder_.add_rule();
  const NodeId opened = builder_.add_node(rule);
  const NodeId ended = builder_.add_node(rule);
  builder_.add_text(builder_.start(rule), "\"", opened);
  CharacterWriter(builder_, CharacterWriter::Encoding::kJson).add(opened, content, ended);
  builder_.add_text(ended, "\"", builder_.end(rule));
  return rule;
}

RuleId JsonWriter::digits(const CharacterDfa& text) {
  const RuleId rule = builder_.add_rule();
  CharacterWriter(builder_, CharacterWriter::Encoding::kPlain)
      .add(builder_.start(rule), text, builder_.end(rule));
  return rule;
}

// The nodes: `before[i]` precedes the first property if that is i or a later one, `after[i]` any if
// that is the next one, `comma[i]` has seen a comma before it.
RuleId JsonWriter::object(const Object& object) {
  const RuleId rule = builder_.add_rule(0, object.max_others);
  const bool counts = object.max_others < kUnlimited;
  assert(!counts || object.properties.empty());
  const RuleId space = make_space();
  const NodeId end = builder_.end(rule);
  const NodeId opened = builder_.add_node(rule);
  const NodeId closing = builder_.add_node(rule);
  builder_.add_text(builder_.start(rule), "{", opened);
  builder_.add_text(closing, "}", end);
  const auto& properties = object.properties;
  const std::size_t count = properties.size();
  const auto nodes = [&] {
    std::vector<NodeId> made;
    for (std::size_t i = 0; i <= count; ++i) made.push_back(builder_.add_node(rule));
    return made;
  };
  const std::vector<NodeId> before = nodes();
  const std::vector<NodeId> after = nodes();
  const std::vector<NodeId> comma = nodes();
  builder_.add_call(opened, space, before[0]);
  bool may_close = true;  // all properties from i on are optional
  for (std::size_t i = count + 1; i-- > 0;) {
    if (i < count) {
      const Property& property = properties[i];
      may_close = may_close && !property.required;
      const std::string key = ordered_json(property.name).dump();
      const NodeId member = builder_.add_node(rule);
      add_member(member, key, property.value, after[i + 1]);
      for (const NodeId from : {before[i], comma[i]}) {
        builder_.add_empty(from, member);
        if (!property.required)
          builder_.add_empty(from, from == before[i] ? before[i + 1] : comma[i + 1]);
      }
    }
    if (may_close) builder_.add_call(after[i], space, closing);
    if (i < count || object.others) add_comma(after[i], comma[i], counts);
  }
  if (object.may_be_empty) builder_.add_text(before[count], "}", end);
  if (object.others) {
    const RuleId key = other_key(object);
    for (const NodeId from : {before[count], comma[count]}) {
      const NodeId named = builder_.add_node(rule);
      builder_.add_call(from, key, named, counts && from == before[count]);
      add_value(named, *object.others, after[count]);
    }
  }
  return rule;
}

RuleId JsonWriter::other_key(const Object& object) {
  std::vector<std::string> names = object.forbidden;
  for (const Property& property : object.properties) names.push_back(property.name);
  return names.empty() ? string() : string(all_but(names));
}

void JsonWriter::add_member(NodeId from, std::string_view key, RuleId value, NodeId to) {
  const NodeId named = builder_.add_node(builder_.rule_of(from));
  builder_.add_text(from, key, named);
  add_value(named, value, to);
}

void JsonWriter::add_value(NodeId colon, RuleId value, NodeId to) {
  const NodeId tight = builder_.add_node(builder_.rule_of(colon));
  const NodeId spaced = builder_.add_node(builder_.rule_of(colon));
  builder_.add_text(colon, ":", tight);
  builder_.add_text(tight, " ", spaced);
  builder_.add_empty(tight, spaced);
  builder_.add_call(spaced, value, to);
}

RuleId JsonWriter::array(const Array& array) {
  const RuleId rule = builder_.add_rule();
  const RuleId space = make_space();
  const NodeId opened = builder_.add_node(rule);
  const NodeId closing = builder_.add_node(rule);
  builder_.add_text(builder_.start(rule), "[", opened);
  builder_.add_text(closing, "]", builder_.end(rule));
  NodeId item = builder_.add_node(rule);  // an item or, at the beginning, a bracket follows
  builder_.add_call(opened, space, item);
  if (array.min == 0) builder_.add_text(item, "]", builder_.end(rule));
  const auto first =
      static_cast<std::uint32_t>(std::min<std::size_t>(array.max, array.first.size()));
  const bool has_rest = array.rest && array.max > first;
  for (std::uint32_t i = 0; i < first; ++i) {
    const NodeId after = builder_.add_node(rule);
    builder_.add_call(item, array.first[i], after);
    if (i + 1 >= array.min) builder_.add_call(after, space, closing);
    item = builder_.add_node(rule);
    if (i + 1 < first || has_rest) add_comma(after, item);
  }
  if (!has_rest) return rule;
  const NodeId after = builder_.add_node(rule);
  const std::uint32_t max = array.max == kUnlimited ? kUnlimited : array.max - first;
  builder_.add_call(item, items(*array.rest, array.min - std::min(array.min, first), max), after);
  builder_.add_call(after, space, closing);
  return rule;
}

// What counts is the comma, since after it an item must follow. The rule ends right after an item:
// white space that only a bracket could follow must not come before it is known that one may.
RuleId JsonWriter::items(RuleId item, std::uint32_t min, std::uint32_t max) {
  const bool counts = min > 1 || max < kUnlimited;
  const RuleId rule = counts ? builder_.add_rule(min, max) : builder_.add_rule();
  const NodeId after = builder_.add_node(rule);
  const NodeId next = builder_.add_node(rule);
  builder_.add_call(builder_.start(rule), item, after, counts);
  builder_.add_empty(after, builder_.end(rule));
  add_comma(after, next, counts);
  builder_.add_call(next, item, after);
  return rule;
}

void JsonWriter::add_comma(NodeId from, NodeId to, bool counts) {
  const NodeId separated = builder_.add_node(builder_.rule_of(from));
  builder_.add_text(from, ",", separated, counts);
  builder_.add_call(separated, make_space(), to);
}

RuleId JsonWriter::constants(const std::vector<ordered_json>& values) {
  std::vector<std::string> texts;
  std::vector<RuleId> rules;
  for (const ordered_json& value : values) {
    if (value.is_structured()) {
      rules.push_back(structured(value));
    } else {
      texts.push_back(value.dump());
    }
  }
  if (!texts.empty()) {
    const RuleId rule = builder_.add_rule();
    builder_.add_texts(builder_.start(rule), std::move(texts), builder_.end(rule));
    rules.push_back(rule);
  }
  return one_of(rules);
}

RuleId JsonWriter::structured(const ordered_json& value) {
  if (value.is_object()) {
    Object object;
    for (const auto& [name, member] : value.items()) {
      object.properties.push_back({name, constants({member}), true});
    }
    return this->object(object);
  }
  Array array{.min = static_cast<std::uint32_t>(value.size())};
  for (const ordered_json& item : value) array.first.push_back(constants({item}));
  return this->array(array);
}

RuleId JsonWriter::one_of(const std::vector<RuleId>& rules) {
  if (rules.size() == 1) return rules.front();
  const RuleId rule = builder_.add_rule();
  for (const RuleId one : rules) builder_.add_call(builder_.start(rule), one, builder_.end(rule));
  return rule;
}

}  // namespace fvlm
