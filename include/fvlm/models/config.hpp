// Sizes of a FastVLM model, as config.json gives them (runtime/config/config_file.hpp reads
// it).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fvlm {

enum class TokenMixer : std::uint8_t { kRepMixer, kAttention };

// The image encoder. The defaults are FastViTHD, which "mobileclip_l_1024" stands for.
struct FastViTHDConfig {
  std::int64_t image_size = 1024;                                    // pixels a side
  std::vector<std::int64_t> layers = {2, 12, 24, 4, 2};              // blocks of each stage
  std::vector<std::int64_t> embed_dims = {96, 192, 384, 768, 1536};  // channels of each stage
  std::vector<TokenMixer> token_mixers = {TokenMixer::kRepMixer, TokenMixer::kRepMixer,
                                          TokenMixer::kRepMixer, TokenMixer::kAttention,
                                          TokenMixer::kAttention};
  std::int64_t mlp_ratio = 4;
  std::int64_t head_dim = 32;
  std::int64_t cls_ratio = 2;  // channels of the output / channels of the last stage
  double se_ratio = 0.0625;    // squeeze-and-excite channels / output channels

  std::int64_t output_channels() const { return embed_dims.back() * cls_ratio; }
  // Positions a side after the stem (1/4) and the downsampling between stages.
  std::int64_t output_side() const {
    return image_size >> (2 + static_cast<std::int64_t>(layers.size()) - 1);
  }
  std::int64_t tokens() const { return output_side() * output_side(); }
};

// The Qwen2 decoder.
struct Qwen2Config {
  std::int64_t hidden_size = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t vocab_size = 0;  // rows of embed_tokens
  double rms_norm_eps = 1e-6;
  double rope_theta = 1e6;
  bool tie_word_embeddings = false;
  std::int64_t max_positions = 32768;
  std::vector<std::int32_t> eos_tokens;  // generation stops at any of them

  std::int64_t head_dim() const { return hidden_size / heads; }
  std::int64_t kv_size() const { return kv_heads * head_dim(); }
};

// Preprocessing: how an image becomes the square of pixels that the encoder gets.
struct Preprocessing {
  enum class Shape : std::uint8_t {
    kPad,   // centred on a black square (padding), which is resized
    kCrop,  // shorter side resized to `shorter_side`, then a centre crop
  };
  enum class Filter : std::uint8_t { kBilinear, kBicubic };  // Pillow's, antialiased

  Shape shape = Shape::kPad;
  Filter filter = Filter::kBicubic;
  std::int64_t shorter_side = 0;  // pixels, of kCrop
};

// Names of the tensors in the files; the names in the code are always LLaVA's.
enum class TensorLayout : std::uint8_t { kLlava, kHuggingFace };

struct FastVlmConfig {
  FastViTHDConfig vision;
  Qwen2Config text;
  Preprocessing preprocessing;
  TensorLayout layout = TensorLayout::kLlava;
  std::int64_t max_prompt = 32768;  // positions
  bool has_patch_token = false;     // Apple's loader adds "<im_patch>" to the vocabulary
  std::string name;                 // the checkpoint folder's name, for messages
};

}  // namespace fvlm
