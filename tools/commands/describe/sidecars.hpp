// Answers in a file beside no other: photos/2024/a.jpg of the folder photos becomes 2024/a.txt or
// 2024/a.json below the output folder. Each file appears whole or not at all, so a run that was
// stopped goes on where it was: what is there already is done, unless it is known to be the answer
// to another question.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/commands/shared/answer_record.hpp"
#include "tools/commands/shared/inputs.hpp"

namespace fvlm {

class Sidecars {
 public:
  // `ending` is ".txt" or ".json"; `asked`: what the answers depend on (AnswerRecord). Makes the
  // folder. Throws Error if it cannot be made or written in, or if two pictures would have one
  // sidecar.
  Sidecars(std::filesystem::path folder, std::string ending, const std::vector<Input>& pictures,
           nlohmann::json asked);

  std::filesystem::path path_of(const Input& picture) const;
  struct Missing {
    std::vector<Input> pictures{};  // each once
    std::size_t to_another = 0;     // of them have an answer, but to another question
  };
  // Those that have no answer to this question; with `force` all.
  Missing missing(const std::vector<Input>& pictures, bool force) const;

  // Replaces what is there. Throws Error if it cannot be written.
  void write(const Input& picture, std::string_view text);

 private:
  std::string name_of(const Input& picture) const;

  std::filesystem::path folder_;
  std::string ending_;
  std::optional<AnswerRecord> record_{};
};

}  // namespace fvlm
