// The model that is served, as APIs list it.
#pragma once

#include <cstdint>
#include <string>

namespace fvlm::net {

struct ServedModel {
  std::string name{};
  std::string folder{};              // of the checkpoint
  std::string precision{};           // of the weights, such as "bf16"
  std::string device{};              // that it runs on, such as "cpu (AVX3, 2 threads)"
  std::int64_t created = 0;          // seconds since 1970
  std::int64_t context_tokens = 0;   // of prompt and answer
  std::int64_t tokens_of_image = 0;  // that each picture takes of these
  std::int64_t vocabulary = 0;       // ids of tokens that can be sampled are below
  std::int64_t max_answer_tokens = 0;
  std::int64_t parameters = 0;
  std::int64_t weight_bytes = 0;
};

}  // namespace fvlm::net
