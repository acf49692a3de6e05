// config.json: both forms, defaults, and one error for everything that can be wrong in it.
#include "runtime/config/config_file.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/temporary_folder.hpp"

namespace fvlm {
namespace {

using nlohmann::json;

// Apple's 0.5B, the keys that matter here.
json llava_config() {
  return json::parse(R"({
    "model_type": "llava_qwen2", "architectures": ["LlavaQwen2ForCausalLM"],
    "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14,
    "num_key_value_heads": 2, "intermediate_size": 4864, "vocab_size": 151936,
    "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "hidden_act": "silu",
    "max_position_embeddings": 32768, "tie_word_embeddings": true, "eos_token_id": 151645,
    "use_sliding_window": false, "image_aspect_ratio": "pad", "mm_projector_type": "mlp2x_gelu",
    "mm_vision_tower": "mobileclip_l_1024", "mm_hidden_size": 3072, "mm_use_im_start_end": false
  })");
}

// The same model in the Hugging Face port.
json hugging_face_config() {
  return json::parse(R"({
    "model_type": "fast_vlm", "architectures": ["FastVlmForConditionalGeneration"],
    "image_token_id": 151646, "projector_hidden_act": "gelu", "multimodal_projector_bias": true,
    "vision_feature_layer": -1, "vision_feature_select_strategy": "full",
    "text_config": {
      "model_type": "qwen2", "hidden_size": 896, "num_hidden_layers": 24,
      "num_attention_heads": 14, "num_key_value_heads": 2, "intermediate_size": 4864,
      "vocab_size": 152000, "rms_norm_eps": 1e-06, "hidden_act": "silu",
      "max_position_embeddings": 131072, "eos_token_id": 151643, "tie_word_embeddings": true,
      "rope_parameters": {"rope_theta": 500000.0, "rope_type": "default"}
    },
    "vision_config": {
      "model_type": "timm_wrapper", "architecture": "fastvit_mci3", "hidden_size": 3072,
      "model_args": {"inference_mode": true}, "global_pool": "avg",
      "pretrained_cfg": {"input_size": [3, 256, 256]}
    }
  })");
}

class ConfigTest : public ::testing::Test {
 protected:
  FastVlmConfig read(const json& config) {
    write_file(folder_ / "config.json", config.dump());
    return read_config(folder_.path());
  }
  std::string refusal(const json& config) {
    return error_of([&] { read(config); });
  }
  // `patch` as in RFC 7396: null removes a key.
  static json patched(json config, const std::string& patch) {
    config.merge_patch(json::parse(patch));
    return config;
  }

  TemporaryFolder folder_;
};

TEST_F(ConfigTest, ReadsLlava) {
  const FastVlmConfig config = read(llava_config());
  EXPECT_EQ(config.layout, TensorLayout::kLlava);
  EXPECT_EQ(config.name, folder_.path().filename().string());
  EXPECT_EQ(config.text.hidden_size, 896);
  EXPECT_EQ(config.text.layers, 24);
  EXPECT_EQ(config.text.heads, 14);
  EXPECT_EQ(config.text.kv_heads, 2);
  EXPECT_EQ(config.text.head_dim(), 64);
  EXPECT_EQ(config.text.intermediate_size, 4864);
  EXPECT_EQ(config.text.vocab_size, 151936);
  EXPECT_EQ(config.text.rms_norm_eps, 1e-6);
  EXPECT_EQ(config.text.rope_theta, 1e6);
  EXPECT_EQ(config.text.max_positions, 32768);
  EXPECT_TRUE(config.text.tie_word_embeddings);
  EXPECT_EQ(config.text.eos_tokens, std::vector<std::int32_t>{151645});
  EXPECT_EQ(config.vision.image_size, 1024);
  EXPECT_EQ(config.vision.layers, (std::vector<std::int64_t>{2, 12, 24, 4, 2}));
  EXPECT_EQ(config.vision.output_channels(), 3072);
  EXPECT_EQ(config.vision.tokens(), 256);
}

TEST_F(ConfigTest, ReadsHuggingFace) {
  const FastVlmConfig config = read(hugging_face_config());
  EXPECT_EQ(config.layout, TensorLayout::kHuggingFace);
  EXPECT_EQ(config.text.hidden_size, 896);
  EXPECT_EQ(config.text.vocab_size, 152000);
  EXPECT_EQ(config.text.rope_theta, 5e5);
  EXPECT_EQ(config.text.max_positions, 131072);
  EXPECT_TRUE(config.text.tie_word_embeddings);
  EXPECT_EQ(config.text.eos_tokens, std::vector<std::int32_t>{151643});
  EXPECT_EQ(config.vision.image_size, 1024);  // not the 256 of timm's pretraining
  EXPECT_EQ(config.vision.embed_dims.back(), 1536);
}

TEST_F(ConfigTest, ReadsTheTinyCheckpoint) {
  const FastVlmConfig config =
      read_config(std::filesystem::path(FVLM_TEST_DATA) / "golden/tiny/checkpoint/");
  EXPECT_EQ(config.name, "checkpoint");  // although the path ends in a slash
  EXPECT_EQ(config.vision.image_size, 256);
  EXPECT_EQ(config.vision.layers, (std::vector<std::int64_t>{1, 2, 2, 1, 1}));
  EXPECT_EQ(config.vision.embed_dims, (std::vector<std::int64_t>{16, 32, 64, 128, 256}));
  EXPECT_EQ(config.vision.tokens(), 16);
  EXPECT_EQ(config.text.vocab_size, 1024);
  EXPECT_EQ(config.text.eos_tokens, std::vector<std::int32_t>{999});
}

TEST_F(ConfigTest, DefaultsOfMissingKeys) {
  const FastVlmConfig config = read(patched(
      llava_config(), R"({"rope_theta": null, "tie_word_embeddings": null, "eos_token_id": null,
          "rms_norm_eps": null, "vocab_size": null, "max_position_embeddings": null})"));
  EXPECT_EQ(config.text.rope_theta, 1e4);  // as in Transformers, whatever Qwen2's files say
  EXPECT_EQ(config.text.rms_norm_eps, 1e-6);
  EXPECT_EQ(config.text.vocab_size, 151936);
  EXPECT_EQ(config.text.max_positions, 32768);
  EXPECT_FALSE(config.text.tie_word_embeddings);
  EXPECT_TRUE(config.text.eos_tokens.empty());
}

TEST_F(ConfigTest, NullIsLikeAMissingKey) {
  json config = llava_config();
  config["rope_scaling"] = nullptr;
  config["vision_config"] = nullptr;
  EXPECT_NO_THROW(read(config));
  config["hidden_size"] = nullptr;
  EXPECT_PRED2(contains, refusal(config), "missing key \"hidden_size\"");
}

TEST_F(ConfigTest, ImageSizeOfTheTower) {
  EXPECT_EQ(
      read(patched(llava_config(), R"({"mm_vision_tower": "mobileclip_l_384"})")).vision.image_size,
      384);
  EXPECT_EQ(read(patched(llava_config(), R"({"mm_vision_tower": "some/where/mobileclip_l_512"})"))
                .vision.image_size,
            512);
  for (const std::string tower : {"mobileclip_l_768/", "where/mobileclip_l_768//"}) {
    json config = llava_config();
    config["mm_vision_tower"] = tower;
    EXPECT_EQ(read(config).vision.image_size, 768) << tower;
  }
  EXPECT_EQ(
      read(patched(llava_config(), R"({"vision_config": {"image_size": 640}})")).vision.image_size,
      640);
}

TEST_F(ConfigTest, EndTokensOfAllFilesOnce) {
  write_file(folder_ / "generation_config.json", R"({"eos_token_id": [151645, 151643]})");
  EXPECT_EQ(read(llava_config()).text.eos_tokens, (std::vector<std::int32_t>{151645, 151643}));
  EXPECT_EQ(read(patched(llava_config(), R"({"eos_token_id": [7, 151643, 7]})")).text.eos_tokens,
            (std::vector<std::int32_t>{7, 151643, 151645}));
  EXPECT_EQ(read(patched(hugging_face_config(), R"({"eos_token_id": 9})")).text.eos_tokens,
            (std::vector<std::int32_t>{151643, 9, 151645}));
  write_file(folder_ / "generation_config.json", R"({"eos_token_id": "end"})");
  EXPECT_PRED2(contains, refusal(llava_config()),
               "generation_config.json: key \"eos_token_id\": expected token ids from 0 to 151935");
  write_file(folder_ / "generation_config.json", "{");
  EXPECT_PRED2(contains, refusal(llava_config()), "generation_config.json: not valid JSON");
}

// Transformers ties by the outer flag; the inner one counts where there is no other.
TEST_F(ConfigTest, TheOuterFlagTiesTheHead) {
  const auto tied = [&](const std::string& patch) {
    return read(patched(hugging_face_config(), patch)).text.tie_word_embeddings;
  };
  EXPECT_FALSE(tied(R"({"tie_word_embeddings": false})"));
  EXPECT_TRUE(tied(R"({"tie_word_embeddings": true,
                       "text_config": {"tie_word_embeddings": false}})"));
  EXPECT_FALSE(tied(R"({"text_config": {"tie_word_embeddings": false}})"));
  EXPECT_FALSE(tied(R"({"text_config": {"tie_word_embeddings": null}})"));
}

TEST_F(ConfigTest, RopeWithoutScaling) {
  EXPECT_EQ(
      read(patched(llava_config(), R"({"rope_scaling": {"type": "default"}})")).text.rope_theta,
      1e6);
  EXPECT_EQ(read(patched(hugging_face_config(),
                         R"({"text_config": {"rope_parameters": null, "rope_theta": 2e4}})"))
                .text.rope_theta,
            2e4);
}

TEST_F(ConfigTest, RefusesMissingFiles) {
  EXPECT_PRED2(contains, error_of([&] { read_config(folder_ / "none"); }), "none: no such folder");
  EXPECT_PRED2(contains, error_of([&] { read_config(folder_.path()); }),
               "no checkpoint: there is no config.json in this folder");
  write_file(folder_ / "file", "");
  EXPECT_PRED2(contains, error_of([&] { read_config(folder_ / "file"); }),
               "expected a checkpoint folder, found a file");
  for (const std::string text : {"", "[]", "{\"a\":1,\"a\":2}", "\xff", "{} x"}) {
    write_file(folder_ / "config.json", text);
    EXPECT_PRED2(contains, error_of([&] { read_config(folder_.path()); }), "config.json: ");
  }
}

TEST_F(ConfigTest, RefusesEachMissingKey) {
  for (const std::string key :
       {"model_type", "hidden_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "intermediate_size", "mm_vision_tower"}) {
    json config = llava_config();
    config.erase(key);
    EXPECT_TRUE(refusal(config).ends_with("config.json: missing key \"" + key + "\"")) << key;
  }
  json config = hugging_face_config();
  config["text_config"].erase("hidden_size");
  EXPECT_PRED2(contains, refusal(config), "missing key \"text_config.hidden_size\"");
  config.erase("text_config");
  EXPECT_PRED2(contains, refusal(config), "missing key \"text_config\"");
}

struct BadSetting {
  std::string patch;
  std::string message;  // a part of it
};

TEST_F(ConfigTest, RefusesNonsense) {
  const BadSetting settings[] = {
      {R"({"model_type": "llava"})", R"(key "model_type": expected "llava_qwen2")"},
      {R"({"model_type": 3})", R"(key "model_type": expected a text, found 3)"},
      {R"({"hidden_size": "896"})", R"(expected a whole number from 1 to 16777216, found "896")"},
      {R"({"hidden_size": -896})", "found -896"},
      {R"({"hidden_size": 0})", "found 0"},
      {R"({"hidden_size": 896.0})", "found 896.0"},
      {R"({"hidden_size": 16777217})", "found 16777217"},
      {R"({"num_hidden_layers": true})", "found true"},
      {R"({"vocab_size": [1]})", "found [1]"},
      {R"({"num_attention_heads": 15})", "15 does not divide \"hidden_size\" 896"},
      {R"({"num_key_value_heads": 3})", "3 does not divide \"num_attention_heads\" 14"},
      {R"({"hidden_size": 14})", "heads of 1 channels, but rotary positions need an even number"},
      {R"({"rms_norm_eps": 0})", "expected a number above 0, found 0"},
      {R"({"rms_norm_eps": "1e-6"})", "expected a number above 0"},
      {R"({"rope_theta": -1})", "key \"rope_theta\": expected a number above 0"},
      {R"({"tie_word_embeddings": "yes"})", "expected true or false, found \"yes\""},
      {R"({"eos_token_id": -1})", "expected token ids from 0 to 151935, found -1"},
      {R"({"eos_token_id": [1, 151936]})", "found 151936"},
      {R"({"eos_token_id": [[1]]})", "found [1]"},
      {R"({"rope_scaling": "yarn"})", "key \"rope_scaling\": expected an object"},
      {R"({"rope_scaling": {"type": "yarn", "factor": 4}})",
       "key \"rope_scaling.type\": \"yarn\" is not supported, only \"default\""},
      {R"({"rope_scaling": {"rope_type": "linear"}})", "\"linear\" is not supported"},
      {R"({"rope_scaling": {"factor": 4}})", "key \"rope_scaling\": no \"rope_type\" in it"},
      {R"({"hidden_act": "gelu"})", "\"gelu\" is not supported, only \"silu\""},
      {R"({"use_sliding_window": true})", "true is not supported"},
      {R"({"mm_projector_type": "linear"})", "only \"mlp2x_gelu\""},
      {R"({"mm_use_im_start_end": true})", "true is not supported"},
      {R"({"mm_hidden_size": 1024})", "1024 is not supported, only 3072"},
      {R"({"mm_vision_tower": "mobileclip_l_"})", "expected \"mobileclip_l_\" and the image size"},
      {R"({"mm_vision_tower": "mobileclip_l_1024px"})", "found \"mobileclip_l_1024px\""},
      {R"({"mm_vision_tower": "mobileclip_l_-64"})", "and the image size"},
      {R"({"mm_vision_tower": "mobileclip_l_99999999999999999999"})", "and the image size"},
      {R"({"mm_vision_tower": "clip_vit_336"})", "expected \"mobileclip_l_\""},
      {R"({"mm_vision_tower": "mobileclip_l_1000"})",
       "key \"mm_vision_tower\": image size 1000, expected a multiple of 64 up to 8192"},
      {R"({"mm_vision_tower": "mobileclip_l_16384"})", "up to 8192"},
      {R"({"vision_config": 5})", "key \"vision_config\": expected an object, found 5"},
      {R"({"vision_config": {"image_size": 100}})",
       "key \"vision_config.image_size\": image size 100, expected a multiple of 64"},
      {R"({"vision_config": {"image_size": 0}})", "whole number"},
      {R"({"vision_config": {"layers": []}})", "key \"vision_config.layers\": 0 stages"},
      {R"({"vision_config": {"layers": [1,1,1,1]}})",
       "key \"vision_config.embed_dims\": 5 stages, but \"layers\" has 4"},
      {R"({"vision_config": {"layers": [1,1,1,1,0]}})", "found 0"},
      {R"({"vision_config": {"layers": 5}})", "expected a list of whole numbers, found 5"},
      {R"({"vision_config": {"token_mixers": ["attention"]}})", "1 stages, but \"layers\" has 5"},
      {R"({"vision_config": {"token_mixers": ["repmixer", "pooling"]}})",
       "unknown token mixer \"pooling\""},
      {R"({"vision_config": {"token_mixers": [1]}})", "expected a list of texts, found 1"},
      {R"({"vision_config": {"token_mixers": "attention"}})", "expected a list of texts"},
      {R"({"vision_config": {"embed_dims": [96, 192, 384, 768, 1000]}})", "not a multiple of 768"},
      {R"({"vision_config": {"head_dim": 48, "embed_dims": [8, 16, 32, 64, 192]}})",
       "48 does not divide 64, the channels of attention stage 3"},
      {R"({"vision_config": {"se_ratio": 0}})", "a number above 0"},
      {R"({"vision_config": {"se_ratio": 1.5}})", "at most all"},
      {R"({"vision_config": {"se_ratio": 1e-9}})", "at least 1"},
      {R"({"vision_config": {"mlp_ratio": 4.5}})", "whole number"},
      {R"({"vision_config": {"cls_ratio": 3}})", "key \"mm_hidden_size\": 3072 is not supported"},
      {R"({"vision_config": {"architecture": "vit_base"}})", "only \"fastvit_mci3\""},
      {R"({"vision_config": {"hidden_size": 768}})", "768 is not supported, only 3072"},
      {R"({"head_dim": 128})", "key \"head_dim\": 128 is not supported, only 64"},
      {R"({"layer_types": ["full_attention", "sliding_attention"]})",
       "key \"layer_types\": \"sliding_attention\" is not supported"},
  };
  for (const BadSetting& bad : settings) {
    SCOPED_TRACE(bad.patch);
    const std::string message = refusal(patched(llava_config(), bad.patch));
    EXPECT_PRED2(contains, message, bad.message);
    EXPECT_TRUE(message.starts_with((folder_ / "config.json").string() + ": ")) << message;
  }
}

TEST_F(ConfigTest, RefusesWhatTheHuggingFaceLayoutCannotName) {
  const json config = patched(hugging_face_config(),
                              R"({"vision_config": {"token_mixers":
          ["repmixer", "repmixer", "attention", "attention", "attention"]}})");
  EXPECT_PRED2(contains, refusal(config), "names only for FastViTHD's five stages");
  EXPECT_PRED2(contains, refusal(patched(hugging_face_config(), R"({"text_config": 1})")),
               "key \"text_config\": expected an object");
  EXPECT_PRED2(contains, refusal(patched(hugging_face_config(), R"({"vision_feature_layer": -2})")),
               "-2 is not supported, only -1");
}

}  // namespace
}  // namespace fvlm
