// The tables of configuration keys: each says what the readers do, and what they do is right for
// the files of Apple's releases, of Transformers and of trainers.
#include "runtime/config/config_keys.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/checkpoint/adapter.hpp"
#include "runtime/config/config_file.hpp"
#include "runtime/tokenizer/tokenizer.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fvlm {
namespace {

using nlohmann::json;

// Apple's 0.5B, all keys.
const json kApple = json::parse(R"({
  "architectures": ["LlavaQwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643,
  "eos_token_id": 151645, "freeze_mm_mlp_adapter": false, "hidden_act": "silu", "hidden_size": 896,
  "image_aspect_ratio": "pad", "image_grid_pinpoints": null, "initializer_range": 0.02,
  "intermediate_size": 4864, "max_position_embeddings": 32768, "max_window_layers": 24,
  "mm_hidden_size": 3072, "mm_patch_merge_type": "flat", "mm_projector_lr": 2e-05,
  "mm_projector_type": "mlp2x_gelu", "mm_use_im_patch_token": false, "mm_use_im_start_end": false,
  "mm_vision_select_feature": "patch", "mm_vision_select_layer": -2,
  "mm_vision_tower": "mobileclip_l_1024", "model_type": "llava_qwen2", "num_attention_heads": 14,
  "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
  "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": true,
  "tokenizer_model_max_length": 8192, "tokenizer_padding_side": "right",
  "torch_dtype": "bfloat16", "transformers_version": "4.39.3", "tune_mm_mlp_adapter": false,
  "unfreeze_mm_vision_tower": true, "use_cache": true, "use_mm_proj": true,
  "use_sliding_window": false, "vocab_size": 151936
})");

// The same model in the Hugging Face port.
const json kPort = json::parse(R"({
  "model_type": "fast_vlm", "architectures": ["FastVlmForConditionalGeneration"],
  "dtype": "bfloat16", "image_token_id": 151646, "multimodal_projector_bias": true,
  "projector_hidden_act": "gelu", "vision_feature_layer": -1,
  "vision_feature_select_strategy": "full", "tie_word_embeddings": true,
  "transformers_version": "5.0.0",
  "text_config": {
    "model_type": "qwen2", "hidden_size": 896, "num_hidden_layers": 2, "num_attention_heads": 14,
    "num_key_value_heads": 2, "intermediate_size": 4864, "vocab_size": 152000, "dtype": "bfloat16",
    "layer_types": ["full_attention", "full_attention"], "rms_norm_eps": 1e-06,
    "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"}, "sliding_window": null
  },
  "vision_config": {
    "model_type": "timm_wrapper", "architecture": "fastvit_mci3", "do_pooling": true,
    "global_pool": "avg", "hidden_size": 3072, "initializer_range": 0.02,
    "model_args": {"inference_mode": true}, "num_features": 3072, "num_classes": 0,
    "pretrained_cfg": {"input_size": [3, 256, 256]}, "label_names": ["LABEL_0", "LABEL_1"]
  }
})");

const json kImageProcessor = json::parse(R"({
  "image_processor_type": "CLIPImageProcessor", "do_convert_rgb": true, "do_resize": true,
  "size": {"shortest_edge": 1024}, "resample": 3, "do_center_crop": true,
  "crop_size": {"height": 1024, "width": 1024}, "do_rescale": true,
  "rescale_factor": 0.00392156862745098, "do_normalize": true, "image_mean": [0.0, 0.0, 0.0],
  "image_std": [1.0, 1.0, 1.0]
})");

class ConfigKeysTest : public testing::Test {
 protected:
  // What a folder with these files is read as, in the words of write_config, and the warnings.
  std::string read(const json& config) {
    warnings_.clear();
    write_file(folder_ / "config.json", config.dump());
    const FastVlmConfig read =
        read_config(folder_.path(), [&](const std::string& w) { warnings_.push_back(w); });
    write_config(read, "bfloat16", written_.path());
    return read_file(written_ / "config.json");
  }

  // Whether each row of a table says what `read_with` does with the key: it is given a function
  // that changes the object of the table, and returns what is read.
  using Change = std::function<void(json&)>;
  void expect_truth(const ConfigKeys& keys, const std::string& table,
                    const std::function<std::string(const Change&)>& read_with) {
    const std::string unchanged = read_with([](json&) {});
    EXPECT_TRUE(warnings_.empty()) << warnings_.front();
    std::set<std::string_view> seen;
    for (const auto part : keys) {
      for (const ConfigKey& key : part) {
        if (!seen.insert(key.name).second) continue;  // the first row counts
        SCOPED_TRACE(table + ": " + std::string(key.name));
        const auto with = [&](const json& value) {
          return read_with([&](json& object) { object[std::string(key.name)] = value; });
        };
        const auto nonsense = json::parse(R"([[{"": 0}]])");
        if (key.use == KeyUse::kIrrelevant) {
          EXPECT_FALSE(key.why.empty());
          EXPECT_EQ(with(nonsense), unchanged);
          EXPECT_TRUE(warnings_.empty());
          continue;
        }
        EXPECT_PRED2(contains, error_of([&] { with(nonsense); }), std::string(key.name));
        if (key.use != KeyUse::kOnly) continue;
        EXPECT_FALSE(key.why.empty());
        for (const json& value : json::parse(key.only)) EXPECT_EQ(with(value), unchanged) << value;
      }
    }
  }

  TemporaryFolder folder_;
  TemporaryFolder written_;
  std::vector<std::string> warnings_;
};

TEST_F(ConfigKeysTest, LlavaTableIsTrue) {
  expect_truth(llava_keys(), "config.json", [&](const Change& change) {
    json config = kApple;
    change(config);
    return read(config);
  });
}

TEST_F(ConfigKeysTest, FastVlmTablesAreTrue) {
  const auto in = [&](const char* object) {
    return [&, object](const Change& change) {
      json config = kPort;
      change(*object == '\0' ? config : config[object]);
      return read(config);
    };
  };
  expect_truth(fast_vlm_keys(), "config.json", in(""));
  expect_truth(text_config_keys(), "text_config", in("text_config"));
  expect_truth(rope_keys(), "rope_parameters", [&](const Change& change) {
    json config = kPort;
    change(config["text_config"]["rope_parameters"]);
    return read(config);
  });
}

TEST_F(ConfigKeysTest, VisionTableIsTrue) {
  expect_truth(vision_config_keys(), "vision_config", [&](const Change& change) {
    json config = kApple;
    config["image_aspect_ratio"] = "square";
    config["vision_config"] = kPort["vision_config"];
    change(config["vision_config"]);
    return read(config);
  });
}

TEST_F(ConfigKeysTest, GenerationTableIsTrue) {
  expect_truth(generation_keys(), "generation_config.json", [&](const Change& change) {
    json generation = json::parse(R"({"eos_token_id": [151645, 151643], "do_sample": true,
        "temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.1})");
    change(generation);
    write_file(folder_ / "generation_config.json", generation.dump());
    return read(kPort);
  });
}

TEST_F(ConfigKeysTest, ProcessorTablesAreTrue) {
  const json whole = {{"processor_class", "FastVlmProcessor"},
                      {"patch_size", 64},
                      {"image_processor", kImageProcessor}};
  expect_truth(processor_keys(), "processor_config.json", [&](const Change& change) {
    json processor = whole;
    change(processor);
    write_file(folder_ / "processor_config.json", processor.dump());
    return read(kPort);
  });
  expect_truth(image_processor_keys(), "image_processor", [&](const Change& change) {
    json processor = whole;
    change(processor["image_processor"]);
    write_file(folder_ / "processor_config.json", processor.dump());
    return read(kPort);
  });
}

TEST_F(ConfigKeysTest, AdapterTableIsTrue) {
  expect_truth(adapter_keys(), "adapter_config.json", [&](const Change& change) {
    json adapter = json::parse(R"({"peft_type": "LORA", "lora_alpha": 8, "r": 4})");
    change(adapter);
    warnings_.clear();
    write_file(folder_ / "adapter_config.json", adapter.dump());
    const Adapter read =
        read_adapter(folder_.path(), [&](const std::string& w) { warnings_.push_back(w); });
    return std::to_string(read.scale(4)) + std::to_string(read.scale(16));
  });
}

TEST_F(ConfigKeysTest, TokenizerTableIsTrue) {
  const auto tiny = std::filesystem::path(FVLM_TEST_DATA) / "golden/tiny/checkpoint";
  for (const char* name : {"vocab.json", "merges.txt"}) {
    std::filesystem::copy_file(tiny / name, folder_ / name);
  }
  expect_truth(tokenizer_config_keys(), "tokenizer_config.json", [&](const Change& change) {
    json config = json::parse(read_file(tiny / "tokenizer_config.json"));
    change(config);
    write_file(folder_ / "tokenizer_config.json", config.dump());
    const Tokenizer read = Tokenizer::load(folder_.path());
    return read.decode(read.encode(" a  b<|im_end|> ."), false);
  });
}

// What the tables say of keys that change answers, so that no row becomes harmless by mistake.
TEST_F(ConfigKeysTest, RefusesWhatWouldChangeAnswers) {
  struct Setting {
    const json& base;
    std::string object;  // "" is the whole file
    std::string key;
    std::string value;
  };
  const Setting settings[] = {
      {kApple, "", "use_sliding_window", "true"},
      {kApple, "", "hidden_act", R"("gelu")"},
      {kApple, "", "mm_projector_type", R"("linear")"},
      {kApple, "", "mm_use_im_start_end", "true"},
      {kApple, "", "image_aspect_ratio", R"("anyres")"},
      {kApple, "", "image_aspect_ratio", R"("anyres_max_9")"},
      {kApple, "", "quantization_config", R"({"quant_method": "bitsandbytes"})"},
      {kApple, "", "repetition_penalty", "1.1"},
      {kApple, "", "top_k", "20"},
      {kApple, "", "no_repeat_ngram_size", "3"},
      {kApple, "", "suppress_tokens", "[7]"},
      {kApple, "", "bad_words_ids", "[[7]]"},
      {kApple, "", "length_penalty", "2.0"},
      {kApple, "", "partial_rotary_factor", "0.5"},
      {kApple, "", "pruned_heads", R"({"0": [1]})"},
      {kPort, "", "projector_hidden_act", R"("relu")"},
      {kPort, "", "vision_feature_layer", "-2"},
      {kPort, "", "vision_feature_select_strategy", R"("default")"},
      {kPort, "text_config", "model_type", R"("llama")"},
      {kPort, "text_config", "rope_scaling", R"({"rope_type": "yarn", "factor": 4})"},
      {kPort, "text_config", "typical_p", "0.9"},
      {kPort, "vision_config", "model_type", R"("clip_vision_model")"},
      {kPort, "vision_config", "architecture", R"("fastvit_mci2")"},
      {kPort, "vision_config", "model_args", R"({"inference_mode": true, "act_layer": "relu"})"},
  };
  for (const Setting& setting : settings) {
    SCOPED_TRACE(setting.key + ": " + setting.value);
    json config = setting.base;
    json& object = setting.object.empty() ? config : config[setting.object];
    object[setting.key] = json::parse(setting.value);
    EXPECT_PRED2(contains, error_of([&] { read(config); }), setting.key);
  }
}

// predict.py moves the file away; transformers' generate() reads it.
TEST_F(ConfigKeysTest, GenerationSettingsCountInTheFastVlmLayoutOnly) {
  write_file(folder_ / "generation_config.json",
             R"({"eos_token_id": 151643, "no_repeat_ngram_size": 3, "unheard_of": 1})");
  read(kApple);
  EXPECT_TRUE(warnings_.empty());
  EXPECT_PRED2(contains, error_of([&] { read(kPort); }), "no_repeat_ngram_size");
}

TEST_F(ConfigKeysTest, NamesUnknownKeys) {
  json config = kPort;
  config["new_key"] = 1;
  config["none"] = nullptr;
  config["text_config"]["gate"] = true;
  config["text_config"]["a\n"] = true;
  read(config);
  const std::string file = (folder_ / "config.json").string();
  EXPECT_EQ(warnings_, (std::vector<std::string>{
                           file + ": not known here and left out: \"new_key\"",
                           file + ": \"text_config\": not known here and left out: \"a\\n\", "
                                  "\"gate\""}));
}

}  // namespace
}  // namespace fvlm
