// Which question each answer in a folder is to, in a file beside them: a JSON object a line, with
// the answer's name and what it depends on. So that a later run with another prompt or model does
// not take the answers that are there for its own.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace fvlm {

class AnswerRecord {
 public:
  static constexpr const char* kName = ".fastvlm-answers.jsonl";

  // Reads what there is; lines that are none of ours are passed over. `asked`: what answers of this
  // run depend on, an object.
  AnswerRecord(const std::filesystem::path& folder, nlohmann::json asked);

  // Whether the answer of this name is known to be to something else. One that is not in the record
  // may be anybody's.
  bool is_to_another(const std::string& name) const;
  // After the answer is in its place. Throws Error if it cannot be written.
  void add(const std::string& name);

 private:
  std::filesystem::path path_;
  nlohmann::json asked_;
  std::map<std::string, bool> is_ours_{};
};

}  // namespace fvlm
