// The sizes of models that random weights are made for.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "fvlm/models/config.hpp"

namespace fvlm {

struct ModelSize {
  std::string_view name;
  std::int64_t hidden, layers, heads, kv_heads, intermediate, vocab;
  bool tied;
  FastViTHDConfig vision;
  std::int64_t first_special;  // id of <|endoftext|>; <|im_start|> and <|im_end|> follow
};

inline const std::vector<ModelSize>& sizes() {
  static const std::vector<ModelSize> all = {
      {"0.5b", 896, 24, 14, 2, 4864, 151936, true, {}, 151643},
      {"1.5b", 1536, 28, 12, 2, 8960, 151936, true, {}, 151643},
      {"7b", 3584, 28, 28, 4, 18944, 152064, false, {}, 151643},
      {"tiny",
       64,
       3,
       4,
       2,
       160,
       1024,
       true,
       {.image_size = 256, .layers = {1, 2, 2, 1, 1}, .embed_dims = {16, 32, 64, 128, 256}},
       997},
  };
  return all;
}

inline FastVlmConfig config_of(const ModelSize& size) {
  FastVlmConfig config;
  config.vision = size.vision;
  config.text = {.hidden_size = size.hidden,
                 .layers = size.layers,
                 .heads = size.heads,
                 .kv_heads = size.kv_heads,
                 .intermediate_size = size.intermediate,
                 .vocab_size = size.vocab,
                 .tie_word_embeddings = size.tied,
                 .eos_tokens = {static_cast<std::int32_t>(size.first_special + 2)}};
  return config;
}

}  // namespace fvlm
