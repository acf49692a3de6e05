// Typed, checked access to one object of a configuration file. Every error names the file and the
// key: DIR/config.json: missing key "hidden_size".
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fvlm {

// Keeps references: the JSON must outlive it. A key whose value is null counts as absent.
class ConfigObject {
 public:
  // `prefix` is put before keys in messages, e.g. "text_config.".
  ConfigObject(std::string file, const nlohmann::json& object, std::string prefix = "");

  bool has(std::string_view key) const { return find(key) != nullptr; }
  std::vector<std::string> keys() const;
  // The file and, inside it, the object, for messages.
  std::string place() const;

  // Whole numbers from 1 to kMaxSize.
  std::int64_t size(std::string_view key) const;
  std::int64_t size_or(std::string_view key, std::int64_t otherwise) const;
  std::vector<std::int64_t> sizes(std::string_view key) const;
  // Finite numbers above 0.
  double positive(std::string_view key) const;
  double positive_or(std::string_view key, double otherwise) const;

  // A list of numbers, or one number.
  std::vector<double> numbers(std::string_view key) const;

  std::optional<bool> boolean(std::string_view key) const;
  std::string text(std::string_view key) const;
  std::vector<std::string> texts(std::string_view key) const;
  // Token ids: one number or a list of them, each below `vocab_size`; empty if absent.
  std::vector<std::int32_t> token_ids(std::string_view key, std::int64_t vocab_size) const;
  // nullopt if absent.
  std::optional<ConfigObject> object(std::string_view key) const;

  // Throws unless the key is absent or has the only value this library implements.
  void expect(std::string_view key, const nlohmann::json& only) const;
  // The same with a list of values; `meaning` says what others would do.
  void expect_one_of(std::string_view key, const nlohmann::json& values,
                     std::string_view meaning) const;

  // Throws Error "FILE: key "KEY": MESSAGE".
  [[noreturn]] void fail(std::string_view key, std::string_view message) const;

 private:
  const nlohmann::json* find(std::string_view key) const;
  const nlohmann::json& require(std::string_view key) const;
  [[noreturn]] void fail_type(std::string_view key, std::string_view expected,
                              const nlohmann::json& found) const;
  std::int64_t size_of(std::string_view key, const nlohmann::json& value) const;
  double positive_of(std::string_view key, const nlohmann::json& value) const;

  std::string file_;
  const nlohmann::json& object_;
  std::string prefix_;
};

}  // namespace fvlm
