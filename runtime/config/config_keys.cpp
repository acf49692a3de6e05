// The tables. Sources: Transformers 4.48.3 (Apple's) and, for fast_vlm, 5.0; Apple's LLaVA;
// PEFT 0.13.
#include "runtime/config/config_keys.hpp"

#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "runtime/config/json_file.hpp"

namespace fvlm {
namespace {

constexpr KeyUse kRead = KeyUse::kRead;
constexpr KeyUse kOnly = KeyUse::kOnly;
constexpr KeyUse kIrrelevant = KeyUse::kIrrelevant;

constexpr std::string_view kTraining = "counts in training only";
constexpr std::string_view kNote = "a note of who wrote the file";
constexpr std::string_view kOutputs = "says what a call returns beside the answer";
constexpr std::string_view kSpeed = "the same numbers in another order or place";
constexpr std::string_view kAskedFor = "given by a flag or with the request, as predict.py does";
constexpr std::string_view kOtherModels = "read by other kinds of models";
constexpr std::string_view kOtherTasks = "read by other tasks than text generation";
constexpr std::string_view kUnused = "no prompt of this form has such a token";
constexpr std::string_view kNothing = "[]";

constexpr ConfigKey kModel[] = {
    {"model_type"},
    {"eos_token_id"},
    {"tie_word_embeddings"},
};

// Any model's configuration.
constexpr ConfigKey kPretrained[] = {
    {"architectures", kIrrelevant, {}, "model_type says it"},
    {"auto_map", kIrrelevant, {}, "names Python code that defines the same model"},
    {"transformers_version", kIrrelevant, {}, kNote},
    {"_name_or_path", kIrrelevant, {}, kNote},
    {"_commit_hash", kIrrelevant, {}, kNote},
    {"torch_dtype", kIrrelevant, {}, "the weight files say their types; --dtype chooses ours"},
    {"dtype", kIrrelevant, {}, "the weight files say their types; --dtype chooses ours"},
    {"use_bfloat16", kIrrelevant, {}, kOtherModels},
    {"use_cache", kIrrelevant, {}, kSpeed},
    {"attn_implementation", kIrrelevant, {}, kSpeed},
    {"_attn_implementation", kIrrelevant, {}, kSpeed},
    {"_attn_implementation_internal", kIrrelevant, {}, kSpeed},
    {"_attn_implementation_autoset", kIrrelevant, {}, kSpeed},
    {"torchscript", kIrrelevant, {}, kSpeed},
    {"chunk_size_feed_forward", kIrrelevant, {}, kSpeed},
    {"initializer_range", kIrrelevant, {}, kTraining},
    {"return_dict", kIrrelevant, {}, kOutputs},
    {"output_attentions", kIrrelevant, {}, kOutputs},
    {"output_hidden_states", kIrrelevant, {}, kOutputs},
    {"is_decoder", kIrrelevant, {}, kOtherModels},
    {"cross_attention_hidden_size", kIrrelevant, {}, kOtherModels},
    {"tie_encoder_decoder", kIrrelevant, {}, kOtherModels},
    {"tf_legacy_loss", kIrrelevant, {}, kTraining},
    {"finetuning_task", kIrrelevant, {}, kOtherTasks},
    {"task_specific_params", kIrrelevant, {}, kOtherTasks},
    {"problem_type", kIrrelevant, {}, kOtherTasks},
    {"id2label", kIrrelevant, {}, kOtherTasks},
    {"label2id", kIrrelevant, {}, kOtherTasks},
    {"num_labels", kIrrelevant, {}, kOtherTasks},
    {"tokenizer_class", kIrrelevant, {}, "Qwen2's tokenizer belongs to the model"},
    {"prefix", kIrrelevant, {}, kOtherTasks},
    {"bos_token_id", kIrrelevant, {}, kUnused},
    {"pad_token_id", kIrrelevant, {}, kUnused},
    {"sep_token_id", kIrrelevant, {}, kUnused},
    {"decoder_start_token_id", kIrrelevant, {}, kUnused},
    {"is_encoder_decoder", kOnly, "[false]", "another kind of model"},
    {"add_cross_attention", kOnly, "[false]", "another kind of model"},
    {"pruned_heads", kOnly, "[{}]", "heads that are left out"},
    {"quantization_config", kOnly, kNothing, "weights that are quantised by another program"},
    {"compression_config", kOnly, kNothing, "weights that are compressed by another program"},
};

// What generate() reads and predict.py, or a request, always gives.
constexpr ConfigKey kSampling[] = {
    {"do_sample", kIrrelevant, {}, kAskedFor},
    {"temperature", kIrrelevant, {}, kAskedFor},
    {"top_p", kIrrelevant, {}, kAskedFor},
    {"num_beams", kIrrelevant, {}, kAskedFor},
    {"max_length", kIrrelevant, {}, kAskedFor},
    {"max_new_tokens", kIrrelevant, {}, kAskedFor},
    {"num_return_sequences", kIrrelevant, {}, "the first answer is the same"},
    {"output_scores", kIrrelevant, {}, kOutputs},
    {"output_logits", kIrrelevant, {}, kOutputs},
    {"return_dict_in_generate", kIrrelevant, {}, kOutputs},
    {"remove_invalid_values", kIrrelevant, {}, "values that are not numbers are never chosen"},
    {"encoder_no_repeat_ngram_size", kIrrelevant, {}, kOtherModels},
    {"encoder_repetition_penalty", kIrrelevant, {}, kOtherModels},
    {"cache_implementation", kIrrelevant, {}, kSpeed},
    {"cache_config", kIrrelevant, {}, kSpeed},
    {"return_legacy_cache", kIrrelevant, {}, kSpeed},
    {"low_memory", kIrrelevant, {}, kSpeed},
    {"is_assistant", kIrrelevant, {}, kSpeed},
    {"num_assistant_tokens", kIrrelevant, {}, kSpeed},
    {"num_assistant_tokens_schedule", kIrrelevant, {}, kSpeed},
    {"assistant_confidence_threshold", kIrrelevant, {}, kSpeed},
    {"assistant_early_exit", kIrrelevant, {}, kSpeed},
    {"assistant_lookbehind", kIrrelevant, {}, kSpeed},
    {"target_lookbehind", kIrrelevant, {}, kSpeed},
    {"prompt_lookup_num_tokens", kIrrelevant, {}, kSpeed},
    {"max_matching_ngram_size", kIrrelevant, {}, kSpeed},
    {"disable_compile", kIrrelevant, {}, kSpeed},
    {"compile_config", kIrrelevant, {}, kSpeed},
    {"generation_kwargs", kIrrelevant, {}, kSpeed},
    {"_from_model_config", kIrrelevant, {}, kNote},
};

// What generate() reads and no flag of ours says.
constexpr ConfigKey kProcessors[] = {
    {"min_length", kOnly, "[0]", "no end before a length"},
    {"min_new_tokens", kOnly, "[0]", "no end before a length"},
    {"max_time", kOnly, kNothing, "an end after a time"},
    {"stop_strings", kOnly, kNothing, "an end at some texts"},
    {"early_stopping", kOnly, "[false]", "another end of beam search"},
    {"length_penalty", kOnly, "[1]", "another score of beams"},
    {"num_beam_groups", kOnly, "[1]", "another beam search"},
    {"diversity_penalty", kOnly, "[0]", "another beam search"},
    {"constraints", kOnly, kNothing, "another beam search"},
    {"force_words_ids", kOnly, kNothing, "another beam search"},
    {"renormalize_logits", kOnly, "[false]", "another score of beams"},
    {"penalty_alpha", kOnly, "[0]", "another search"},
    {"dola_layers", kOnly, kNothing, "another search"},
    {"min_p", kOnly, "[0]", "another choice of tokens"},
    {"typical_p", kOnly, "[1]", "another choice of tokens"},
    {"epsilon_cutoff", kOnly, "[0]", "another choice of tokens"},
    {"eta_cutoff", kOnly, "[0]", "another choice of tokens"},
    {"guidance_scale", kOnly, "[1]", "another choice of tokens"},
    {"no_repeat_ngram_size", kOnly, "[0]", "words that are not said twice"},
    {"bad_words_ids", kOnly, kNothing, "tokens that are never chosen"},
    {"suppress_tokens", kOnly, "[[]]", "tokens that are never chosen"},
    {"begin_suppress_tokens", kOnly, "[[]]", "tokens that are never chosen"},
    {"sequence_bias", kOnly, kNothing, "tokens that are chosen more often"},
    {"forced_bos_token_id", kOnly, kNothing, "tokens that are always chosen"},
    {"forced_eos_token_id", kOnly, kNothing, "tokens that are always chosen"},
    {"forced_decoder_ids", kOnly, kNothing, "tokens that are always chosen"},
    {"exponential_decay_length_penalty", kOnly, kNothing, "shorter answers"},
    {"watermarking_config", kOnly, kNothing, "tokens that are chosen more often"},
    {"token_healing", kOnly, "[false]", "another end of the prompt"},
};

// predict.py leaves these to config.json; here a flag or the request says them.
constexpr ConfigKey kDefaultsOfPredict[] = {
    {"top_k", kOnly, "[50]", "another default than predict.py's; give --top_k instead"},
    {"repetition_penalty", kOnly, "[1]",
     "another default than predict.py's; give --repetition_penalty instead"},
};
constexpr ConfigKey kDefaultsOfRequests[] = {
    {"top_k", kIrrelevant, {}, kAskedFor},
    {"repetition_penalty", kIrrelevant, {}, kAskedFor},
};

constexpr ConfigKey kGenerationFile[] = {
    {"eos_token_id"},
    {"bos_token_id", kIrrelevant, {}, kUnused},
    {"pad_token_id", kIrrelevant, {}, kUnused},
    {"decoder_start_token_id", kIrrelevant, {}, kUnused},
    {"transformers_version", kIrrelevant, {}, kNote},
    {"_commit_hash", kIrrelevant, {}, kNote},
    {"use_cache", kIrrelevant, {}, kSpeed},
    {"output_attentions", kIrrelevant, {}, kOutputs},
    {"output_hidden_states", kIrrelevant, {}, kOutputs},
};

constexpr ConfigKey kQwen2[] = {
    {"hidden_size"},
    {"num_hidden_layers"},
    {"num_attention_heads"},
    {"num_key_value_heads"},
    {"head_dim"},
    {"intermediate_size"},
    {"vocab_size"},
    {"rms_norm_eps"},
    {"rope_theta"},
    {"rope_scaling"},
    {"rope_parameters"},
    {"layer_types"},
    {"max_position_embeddings"},
    {"hidden_act", kOnly, R"(["silu", "swish"])", "another activation"},
    {"use_sliding_window", kOnly, "[false]", "attention to the last positions only"},
    {"partial_rotary_factor", kOnly, "[1]", "positions in a part of the channels"},
    {"sliding_window", kIrrelevant, {}, "counts with use_sliding_window only"},
    {"max_window_layers", kIrrelevant, {}, "counts with use_sliding_window only"},
    {"attention_dropout", kIrrelevant, {}, kTraining},
};

constexpr ConfigKey kLlava[] = {
    {"mm_vision_tower"},
    {"mm_hidden_size"},
    {"mm_use_im_patch_token"},
    {"image_aspect_ratio"},
    {"tokenizer_model_max_length"},
    {"vision_config"},
    {"mm_projector_type", kOnly, R"(["mlp2x_gelu"])", "another projector"},
    {"mm_use_im_start_end", kOnly, "[false]", "tokens around a picture"},
    {"mm_patch_merge_type", kIrrelevant, {}, "counts for pictures cut into tiles (anyres) only"},
    {"image_grid_pinpoints", kIrrelevant, {}, "counts for pictures cut into tiles (anyres) only"},
    {"image_crop_resolution", kIrrelevant, {}, "counts for pictures cut into tiles (anyres) only"},
    {"image_split_resolution", kIrrelevant, {}, "counts for pictures cut into tiles (anyres) only"},
    {"mm_vision_select_layer", kIrrelevant, {}, "MobileCLIP's tower always gives its last map"},
    {"mm_vision_select_feature", kIrrelevant, {}, "MobileCLIP's tower always gives its last map"},
    {"vision_tower", kIrrelevant, {}, "mm_vision_tower counts"},
    {"s2", kIrrelevant, {}, "read by CLIP's tower"},
    {"s2_scales", kIrrelevant, {}, "read by CLIP's tower"},
    {"unfreeze_mm_vision_tower", kIrrelevant, {}, "the encoder is always the checkpoint's"},
    {"tune_mm_vision_tower", kIrrelevant, {}, kTraining},
    {"tune_mm_mlp_adapter", kIrrelevant, {}, kTraining},
    {"freeze_mm_mlp_adapter", kIrrelevant, {}, kTraining},
    {"pretrain_mm_mlp_adapter", kIrrelevant, {}, kTraining},
    {"mm_projector_lr", kIrrelevant, {}, kTraining},
    {"mm_vision_tower_lr", kIrrelevant, {}, kTraining},
    {"use_mm_proj", kIrrelevant, {}, kTraining},
    {"tokenizer_padding_side", kIrrelevant, {}, "no prompt is padded"},
    {"max_sequence_length", kIrrelevant, {}, "a note for Apple's demonstration server"},
};

constexpr ConfigKey kFastVlm[] = {
    {"text_config"},
    {"vision_config"},
    {"projector_hidden_act", kOnly, R"(["gelu"])", "another projector"},
    {"multimodal_projector_bias", kOnly, "[true]", "another projector"},
    {"vision_feature_layer", kOnly, "[-1]", "features of another layer"},
    {"vision_feature_select_strategy", kOnly, R"(["full"])", "a part of the features"},
    {"image_token_id", kIrrelevant, {}, "here a prompt has pictures, not tokens in their place"},
    {"image_token_index", kIrrelevant, {}, "here a prompt has pictures, not tokens in their place"},
    {"image_seq_length", kIrrelevant, {}, "follows from the image size"},
};

constexpr ConfigKey kTextModel[] = {
    {"model_type", kOnly, R"(["qwen2"])", "another decoder"},
};

constexpr ConfigKey kVision[] = {
    {"model_type", kOnly, R"(["timm_wrapper"])", "another encoder"},
    // Our own.
    {"image_size"},
    {"layers"},
    {"embed_dims"},
    {"token_mixers"},
    {"mlp_ratio"},
    {"head_dim"},
    {"cls_ratio"},
    {"se_ratio"},
    {"shorter_side"},
    {"resample"},
    // timm's wrapper.
    {"hidden_size"},
    {"model_args", kOnly, R"([{"inference_mode": true}])", "another encoder"},
    {"architecture", kOnly, R"(["fastvit_mci3"])", "another encoder"},
    {"do_pooling", kIrrelevant, {}, "the map before pooling is used"},
    {"global_pool", kIrrelevant, {}, "the map before pooling is used"},
    {"num_features", kIrrelevant, {}, "follows from embed_dims"},
    {"num_classes", kIrrelevant, {}, kOtherTasks},
    {"label_names", kIrrelevant, {}, kOtherTasks},
    {"label_descriptions", kIrrelevant, {}, kOtherTasks},
    {"pretrained_cfg", kIrrelevant, {}, "of the weights before they became this model's"},
};

constexpr ConfigKey kRope[] = {
    {"rope_theta"},
    {"rope_type", kOnly, R"(["default"])", "positions on another scale"},
    {"type", kOnly, R"(["default"])", "positions on another scale"},
    {"partial_rotary_factor", kOnly, "[1]", "positions in a part of the channels"},
    {"factor", kIrrelevant, {}, "not read with type default"},
    {"original_max_position_embeddings", kIrrelevant, {}, "not read with type default"},
};

constexpr ConfigKey kProcessor[] = {
    {"image_processor"},
    {"patch_size"},
    {"num_additional_image_tokens", kOnly, "[0]", "more positions for a picture than features"},
    {"vision_feature_select_strategy", kOnly, R"(["full"])", "a part of the features"},
    {"processor_class", kOnly, R"(["LlavaProcessor", "FastVlmProcessor"])",
     "pictures prepared in another way"},
    {"image_token", kIrrelevant, {}, "here a prompt has pictures, not tokens in their place"},
    {"chat_template", kIrrelevant, {}, "the prompt has Apple's form, qwen_2"},
    {"auto_map", kIrrelevant, {}, "names Python code that does the same"},
    {"tokenizer", kIrrelevant, {}, "the tokenizer's own files say it"},
};

constexpr ConfigKey kImageProcessor[] = {
    {"image_processor_type"},
    {"feature_extractor_type", kIrrelevant, {}, "image_processor_type says it"},
    {"do_pad"},
    {"do_resize", kOnly, "[true]", "pictures of any size"},
    {"size"},
    {"resample"},
    {"do_center_crop"},
    {"crop_size"},
    {"do_rescale", kOnly, "[true]", "colours in 0..255"},
    {"rescale_factor"},
    {"do_normalize"},
    {"image_mean"},
    {"image_std"},
    {"pad_size", kOnly, kNothing, "pictures padded to a size"},
    {"use_square_size", kOnly, "[false]", "pictures squeezed to a square"},
    {"input_data_format", kIrrelevant, {}, "of arrays; pictures come from files"},
    {"data_format", kIrrelevant, {}, kOutputs},
    {"return_tensors", kIrrelevant, {}, kOutputs},
    {"do_convert_rgb", kIrrelevant, {}, "pictures are always read as RGB"},
    {"default_to_square", kIrrelevant, {}, "read for sizes that are one number; those are refused"},
    {"device", kIrrelevant, {}, kSpeed},
    {"disable_grouping", kIrrelevant, {}, kSpeed},
    {"processor_class", kIrrelevant, {}, "processor_config.json says it"},
    {"auto_map", kIrrelevant, {}, "names Python code that does the same"},
    {"image_seq_length", kIrrelevant, {}, "follows from the image size"},
    {"_valid_processor_keys", kIrrelevant, {}, kNote},
};

constexpr ConfigKey kAdapter[] = {
    {"lora_alpha"},
    {"use_rslora"},
    {"peft_type", kOnly, R"(["LORA"])", "another kind of adapter"},
    {"use_dora", kOnly, "[false]", "another kind of adapter"},
    {"use_qalora", kOnly, "[false]", "another kind of adapter"},
    {"fan_in_fan_out", kOnly, "[false]", "transposed matrices"},
    {"bias", kOnly, R"(["none"])", "biases in the adapter"},
    {"lora_bias", kOnly, "[false]", "biases in the adapter"},
    {"rank_pattern", kOnly, "[{}]", "ranks by name"},
    {"alpha_pattern", kOnly, "[{}]", "scales by name"},
    {"layer_replication", kOnly, "[[]]", "layers used twice"},
    {"trainable_token_indices", kOnly, "[[], {}]", "rows of the embedding in the adapter"},
    {"target_parameters", kOnly, "[[]]", "changes to parameters outside of matrices"},
    {"init_lora_weights", kOnly, R"([true, false, "gaussian", "eva"])", "a changed base"},
    {"r", kIrrelevant, {}, "the matrices have it"},
    {"target_modules", kIrrelevant, {}, "the tensors' names say it"},
    {"exclude_modules", kIrrelevant, {}, "the tensors' names say it"},
    {"modules_to_save", kIrrelevant, {}, "the tensors' names say it"},
    {"layers_to_transform", kIrrelevant, {}, "the tensors' names say it"},
    {"layers_pattern", kIrrelevant, {}, "the tensors' names say it"},
    {"base_model_name_or_path", kIrrelevant, {}, "--model-base says it"},
    {"revision", kIrrelevant, {}, "--model-base says it"},
    {"auto_mapping", kIrrelevant, {}, kNote},
    {"task_type", kIrrelevant, {}, kNote},
    {"peft_version", kIrrelevant, {}, kNote},
    {"inference_mode", kIrrelevant, {}, kTraining},
    {"lora_dropout", kIrrelevant, {}, kTraining},
    {"loftq_config", kIrrelevant, {}, kTraining},
    {"eva_config", kIrrelevant, {}, kTraining},
    {"corda_config", kIrrelevant, {}, kTraining},
    {"megatron_config", kIrrelevant, {}, kSpeed},
    {"megatron_core", kIrrelevant, {}, kSpeed},
    {"runtime_config", kIrrelevant, {}, kSpeed},
};

constexpr ConfigKey kTokenizer[] = {
    {"added_tokens_decoder"},
    {"add_prefix_space", kOnly, "[false]", "a space before the text"},
    {"add_bos_token", kOnly, "[false]", "a token before the text"},
    {"add_eos_token", kOnly, "[false]", "a token after the text"},
    {"clean_up_tokenization_spaces", kOnly, "[false]", "spaces taken out of answers"},
    {"split_special_tokens", kOnly, "[false]", "special tokens as text"},
    {"errors", kOnly, R"(["replace"])", "another way with bytes that are no text"},
    {"tokenizer_class", kIrrelevant, {}, "Qwen2's tokenizer belongs to the model"},
    {"chat_template", kIrrelevant, {}, "the prompt has Apple's form, qwen_2"},
    {"model_max_length", kIrrelevant, {}, "only warned about"},
    {"padding_side", kIrrelevant, {}, "no prompt is padded"},
    {"truncation_side", kIrrelevant, {}, "no prompt is cut"},
    {"bos_token", kIrrelevant, {}, kUnused},
    {"eos_token", kIrrelevant, {}, "eos_token_id says it"},
    {"pad_token", kIrrelevant, {}, kUnused},
    {"unk_token", kIrrelevant, {}, "every byte has a token"},
    {"sep_token", kIrrelevant, {}, kUnused},
    {"cls_token", kIrrelevant, {}, kUnused},
    {"mask_token", kIrrelevant, {}, kUnused},
    {"additional_special_tokens", kIrrelevant, {}, "added_tokens_decoder has them"},
    {"extra_special_tokens", kIrrelevant, {}, "added_tokens_decoder has them"},
    {"processor_class", kIrrelevant, {}, "processor_config.json says it"},
    {"image_token", kIrrelevant, {}, "here a prompt has pictures, not tokens in their place"},
    {"auto_map", kIrrelevant, {}, "names Python code that does the same"},
    {"name_or_path", kIrrelevant, {}, kNote},
    {"special_tokens_map_file", kIrrelevant, {}, kNote},
    {"tokenizer_file", kIrrelevant, {}, kNote},
    {"added_tokens_file", kIrrelevant, {}, kNote},
    {"is_local", kIrrelevant, {}, kNote},
    {"backend", kIrrelevant, {}, kSpeed},
    {"use_fast", kIrrelevant, {}, kSpeed},
};

// The first counts.
const ConfigKey* find(const ConfigKeys& keys, std::string_view name) {
  for (const auto part : keys) {
    for (const ConfigKey& key : part) {
      if (key.name == name) return &key;
    }
  }
  return nullptr;
}

}  // namespace

const ConfigKeys& llava_keys() {
  static const ConfigKeys keys = {kModel,      kPretrained,       kQwen2, kLlava, kSampling,
                                  kProcessors, kDefaultsOfPredict};
  return keys;
}

const ConfigKeys& fast_vlm_keys() {
  static const ConfigKeys keys = {kModel,    kPretrained, kFastVlm,
                                  kSampling, kProcessors, kDefaultsOfRequests};
  return keys;
}

const ConfigKeys& text_config_keys() {
  static const ConfigKeys keys = {kTextModel, kModel,      kPretrained,        kQwen2,
                                  kSampling,  kProcessors, kDefaultsOfRequests};
  return keys;
}

const ConfigKeys& vision_config_keys() {
  static const ConfigKeys keys = {kVision, kPretrained, kSampling, kProcessors,
                                  kDefaultsOfRequests};
  return keys;
}

const ConfigKeys& rope_keys() {
  static const ConfigKeys keys = {kRope};
  return keys;
}

const ConfigKeys& generation_keys() {
  static const ConfigKeys keys = {kGenerationFile, kSampling, kProcessors, kDefaultsOfRequests};
  return keys;
}

const ConfigKeys& processor_keys() {
  static const ConfigKeys keys = {kProcessor};
  return keys;
}

const ConfigKeys& image_processor_keys() {
  static const ConfigKeys keys = {kImageProcessor};
  return keys;
}

const ConfigKeys& adapter_keys() {
  static const ConfigKeys keys = {kAdapter};
  return keys;
}

const ConfigKeys& tokenizer_config_keys() {
  static const ConfigKeys keys = {kTokenizer};
  return keys;
}

void check_keys(const ConfigObject& object, const ConfigKeys& keys, const ConfigWarning& warn) {
  std::vector<std::string> unknown;
  for (const std::string& name : object.keys()) {
    const ConfigKey* key = find(keys, name);
    if (key == nullptr) {
      unknown.push_back(in_quotes(name));
    } else if (key->use == KeyUse::kOnly) {
      object.expect_one_of(name, nlohmann::json::parse(key->only), key->why);
    }
  }
  if (warn && !unknown.empty()) {
    warn(fmt::format("{}: not known here and left out: {}", object.place(),
                     fmt::join(unknown, ", ")));
  }
}

}  // namespace fvlm
