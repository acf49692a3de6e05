// Checkpoints of random weights in the released layout and sizes, for tests, benchmarks and trials
// where Apple's weights are not at hand. The text they make is noise; the work is the real one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace fvlm {

struct RandomCheckpointOptions {
  std::string size;  // one of model_sizes()
  std::uint64_t seed = 0;
  std::filesystem::path output;     // a folder: empty, or made if it is not there
  bool force = false;               // replaces a checkpoint that is there
  std::filesystem::path tokenizer;  // folder with vocab.json and merges.txt; empty: single bytes
  std::function<void(double fraction)> on_progress;
};

// The names of the sizes: "0.5b", "1.5b", "7b" as released, and "tiny" for tests.
std::vector<std::string> model_sizes();

// Writes config.json, the tokenizer's files and safetensors in bf16, in several shards if large.
// The folder appears, or is replaced, when it is whole. The same options give the same bytes.
// Throws Error for an unknown size, a folder that holds anything, and unwritable files.
void write_random_checkpoint(const RandomCheckpointOptions& options);

}  // namespace fvlm
