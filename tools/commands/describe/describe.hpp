// What the parts of `fastvlm describe` share.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "fvlm/engine.hpp"
#include "tools/commands/shared/conversation.hpp"
#include "tools/commands/shared/grammar_options.hpp"
#include "tools/commands/shared/images.hpp"

namespace fvlm {

struct DescribeOptions {
  EngineOptions engine;
  Sampling sampling;
  std::vector<std::string> stop;
  std::vector<std::string> image_files;  // all in one question
  std::vector<std::string> inputs;       // files, folders and patterns: a question for each picture
  std::string output_dir;
  ImageOptions pictures;
  GrammarOptions grammar;
  PromptOptions prompt;
  bool stats = false;
  bool json = false;
  bool force = false;
};

// The question, once its files are read.
struct Question {
  std::string prompt;
  std::optional<Grammar> grammar;
};

// The request of one question about the pictures.
Request make_request(const DescribeOptions& options, const Question& question,
                     std::vector<PreparedImage> pictures);

// The question about each picture of options.inputs, on its own; returns the exit code.
int describe_each(const DescribeOptions& options, const Question& question);

}  // namespace fvlm
