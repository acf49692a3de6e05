#include "tools/commands/shared/answer_record.hpp"

#include <fstream>
#include <utility>

#include "runtime/support/new_files.hpp"

namespace fvlm {
namespace {

using nlohmann::json;

constexpr const char* kAnswer = "answer";

}  // namespace

AnswerRecord::AnswerRecord(const std::filesystem::path& folder, json asked)
    : path_(folder / kName), asked_(std::move(asked)) {
  std::ifstream file(path_);
  for (std::string line; std::getline(file, line);) {
    json entry = json::parse(line, nullptr, false);
    const auto name = entry.is_object() ? entry.find(kAnswer) : entry.end();
    if (name == entry.end() || !name->is_string()) continue;
    const std::string answer = name->get<std::string>();
    entry.erase(kAnswer);
    is_ours_[answer] = entry == asked_;  // the last line about it counts
  }
}

bool AnswerRecord::is_to_another(const std::string& name) const {
  const auto known = is_ours_.find(name);
  return known != is_ours_.end() && !known->second;
}

void AnswerRecord::add(const std::string& name) {
  json entry = asked_;
  entry[kAnswer] = name;
  const std::string line = entry.dump(-1, ' ', false, json::error_handler_t::replace);
  std::ofstream file(path_, std::ios::app);
  file << line + "\n" << std::flush;
  if (!file) throw_not_writable(path_);
  is_ours_[name] = true;
}

}  // namespace fvlm
