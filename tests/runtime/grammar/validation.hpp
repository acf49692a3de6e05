// The schemas of tests/data/schemas.json, and whether answers are valid for them: by a JSON parser
// here and, where Python has jsonschema, by that. FVLM_PYTHON: the Python to ask [python3].
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/temporary_folder.hpp"

namespace fvlm {

struct SchemaEntry {
  std::string name;
  std::string schema;
};

inline std::vector<SchemaEntry> schema_entries() {
  using Json = nlohmann::ordered_json;
  std::vector<SchemaEntry> entries;
  const auto path = std::filesystem::path(FVLM_SOURCE) / "tests/data/schemas.json";
  for (const Json& entry : Json::parse(std::ifstream(path))) {
    entries.push_back({entry["name"], entry["schema"].dump()});
  }
  return entries;
}

class Validation {
 public:
  void add(const SchemaEntry& entry, const std::string& answer) {
    using Json = nlohmann::ordered_json;
    ++count_;
    EXPECT_TRUE(Json::accept(answer)) << entry.name << ": " << answer;
    answers_ << Json{{"name", entry.name},
                     {"schema", Json::parse(entry.schema)},
                     {"answer", answer}}
             << '\n';
  }

  std::size_t count() const { return count_; }

  // Of all, by Python; skips the test without it.
  void check() {
    answers_.close();
    const char* wanted = std::getenv("FVLM_PYTHON");
    const std::string python = wanted != nullptr ? wanted : "python3";
    if (std::system((python + " -c 'import jsonschema' 2> /dev/null").c_str()) != 0) {
      GTEST_SKIP() << "Python's jsonschema is not installed: " << count_ << " answers only parsed";
    }
    const std::string script =
        std::filesystem::path(FVLM_SOURCE) / "tests/runtime/grammar/validate.py";
    EXPECT_EQ(std::system((python + " " + script + " " + path().string()).c_str()), 0);
  }

 private:
  std::filesystem::path path() const { return folder_ / "answers.jsonl"; }

  TemporaryFolder folder_;
  std::ofstream answers_{path()};
  std::size_t count_ = 0;
};

}  // namespace fvlm
