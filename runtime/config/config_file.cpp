// config.json: which keys mean what, and which combinations make sense.
#include "runtime/config/config_file.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "kernels/support/make_error.hpp"
#include "runtime/config/config_object.hpp"
#include "runtime/config/json_file.hpp"
#include "runtime/config/preprocessing_config.hpp"

namespace fvlm {
namespace {

constexpr std::int64_t kMaxImageSize = 8192;
constexpr std::size_t kMaxStages = 8;
constexpr std::string_view kTowerKey = "mm_vision_tower";

// Transformers' defaults (Qwen2Config). Its default sizes of layers are those of no FastVLM: they
// must be given.
constexpr std::int64_t kDefaultVocabSize = 151936;
constexpr std::int64_t kDefaultMaxPositions = 32768;
constexpr double kDefaultNormEps = 1e-6;
constexpr double kDefaultRopeTheta = 1e4;

struct MixerName {
  std::string_view name;
  TokenMixer mixer;
};
constexpr MixerName kMixerNames[] = {{"repmixer", TokenMixer::kRepMixer},
                                     {"attention", TokenMixer::kAttention}};

std::vector<TokenMixer> read_mixers(const ConfigObject& vision) {
  std::vector<TokenMixer> mixers;
  for (const std::string& name : vision.texts("token_mixers")) {
    const auto* found = std::ranges::find(kMixerNames, name, &MixerName::name);
    if (found == std::ranges::end(kMixerNames)) {
      vision.fail("token_mixers", fmt::format("unknown token mixer {}, expected \"repmixer\" or "
                                              "\"attention\"",
                                              in_quotes(name)));
    }
    mixers.push_back(found->mixer);
  }
  return mixers;
}

// "mobileclip_l_1024" -> 1024. A final slash, as of a folder, does not matter.
std::int64_t image_size_of_tower(const ConfigObject& config) {
  constexpr std::string_view kName = "mobileclip_l_";
  const std::string tower = config.text(kTowerKey);
  const std::size_t at = tower.rfind(kName);
  std::int64_t size = 0;
  if (at != std::string::npos) {
    const char* const end = tower.data() + tower.size();
    const auto parsed = std::from_chars(tower.data() + at + kName.size(), end, size);
    const bool only_slashes = std::all_of(parsed.ptr, end, [](char c) { return c == '/'; });
    if (parsed.ec != std::errc{} || !only_slashes) size = 0;
  }
  if (size < 1) {
    config.fail(kTowerKey, fmt::format("expected \"mobileclip_l_\" and the image size, found {}",
                                       in_quotes(tower)));
  }
  return size;
}

// Pixels a side of what becomes one position: the stem halves the image twice, and every stage but
// the first once more.
std::int64_t patch_side(const FastViTHDConfig& vision) {
  return std::int64_t{4} << (vision.layers.size() - 1);
}

void check_image_size(const FastViTHDConfig& vision, const ConfigObject& where,
                      std::string_view key) {
  const std::int64_t step = patch_side(vision);
  if (vision.image_size % step != 0 || vision.image_size > kMaxImageSize) {
    where.fail(key, fmt::format("image size {}, expected a multiple of {} up to {}",
                                vision.image_size, step, kMaxImageSize));
  }
}

// `where` is the object that gave the sizes, for messages.
void check_stages(const FastViTHDConfig& vision, const ConfigObject& where) {
  const std::size_t stages = vision.layers.size();
  if (stages < 1 || stages > kMaxStages) {
    where.fail("layers", fmt::format("{} stages, expected 1 to {}", stages, kMaxStages));
  }
  if (vision.embed_dims.size() != stages) {
    where.fail("embed_dims",
               fmt::format("{} stages, but \"layers\" has {}", vision.embed_dims.size(), stages));
  }
  if (vision.token_mixers.size() != stages) {
    where.fail("token_mixers",
               fmt::format("{} stages, but \"layers\" has {}", vision.token_mixers.size(), stages));
  }
  for (std::size_t i = 0; i < stages; ++i) {
    const std::int64_t channels = vision.embed_dims[i];
    // The 7x7 convolution between stages has one group for each channel that enters.
    if (i > 0 && channels % vision.embed_dims[i - 1] != 0) {
      where.fail("embed_dims",
                 fmt::format("{} is not a multiple of {}, the channels of the stage before",
                             channels, vision.embed_dims[i - 1]));
    }
    if (vision.token_mixers[i] == TokenMixer::kAttention && channels % vision.head_dim != 0) {
      where.fail("head_dim",
                 fmt::format("{} does not divide {}, the channels of attention stage {}",
                             vision.head_dim, channels, i));
    }
  }
  if (vision.se_ratio > 1 || vision.se_ratio * static_cast<double>(vision.output_channels()) < 1) {
    where.fail("se_ratio", fmt::format("{} of {} channels, expected at least 1 and at most all",
                                       vision.se_ratio, vision.output_channels()));
  }
}

FastViTHDConfig read_vision(const ConfigObject& config, TensorLayout layout,
                            const ConfigWarning& warn) {
  FastViTHDConfig vision;
  const auto given = config.object("vision_config");
  const bool has_image_size = given && given->has("image_size");
  if (layout == TensorLayout::kLlava && !has_image_size) {
    vision.image_size = image_size_of_tower(config);
  }
  if (given) {
    check_keys(*given, vision_config_keys(), warn);
    vision.image_size = given->size_or("image_size", vision.image_size);
    if (given->has("layers")) vision.layers = given->sizes("layers");
    if (given->has("embed_dims")) vision.embed_dims = given->sizes("embed_dims");
    if (given->has("token_mixers")) vision.token_mixers = read_mixers(*given);
    vision.mlp_ratio = given->size_or("mlp_ratio", vision.mlp_ratio);
    vision.head_dim = given->size_or("head_dim", vision.head_dim);
    vision.cls_ratio = given->size_or("cls_ratio", vision.cls_ratio);
    vision.se_ratio = given->positive_or("se_ratio", vision.se_ratio);
    given->expect("hidden_size", vision.output_channels());
  }
  const ConfigObject& where = given ? *given : config;
  check_stages(vision, where);
  check_image_size(vision, has_image_size ? *given : config,
                   has_image_size ? "image_size" : kTowerKey);
  if (layout == TensorLayout::kHuggingFace &&
      vision.token_mixers != FastViTHDConfig{}.token_mixers) {
    where.fail("token_mixers", "the fast_vlm layout has names only for FastViTHD's five stages");
  }
  return vision;
}

// How pictures are prepared; in the fast_vlm layout also at which size. A folder of that layout
// without a processor's file has Apple's own, which every published one describes: the shorter side
// is resized, and the centre cut out.
void read_preprocessing(const std::filesystem::path& folder, const ConfigObject& config,
                        FastVlmConfig& result, const ConfigWarning& warn) {
  FastViTHDConfig& vision = result.vision;
  const auto given = config.object("vision_config");
  if (result.layout == TensorLayout::kLlava) {
    result.preprocessing = read_llava_preprocessing(config, given, vision.image_size);
    return;
  }
  const auto processed = read_processor(folder, patch_side(vision), warn);
  if (!processed) {
    result.preprocessing = {.shape = Preprocessing::Shape::kCrop,
                            .shorter_side = vision.image_size};
    return;
  }
  if (given && given->has("image_size") && processed->side != vision.image_size) {
    given->fail("image_size", fmt::format("{}, but the processor's pictures have {} pixels a side",
                                          vision.image_size, processed->side));
  }
  result.preprocessing = processed->fit;
  vision.image_size = processed->side;
  check_image_size(vision, config, "vision_config");
}

// Transformers 5 keeps the base in "rope_parameters", earlier ones beside the other keys.
double read_rope_theta(const ConfigObject& text, const ConfigWarning& warn) {
  double theta = text.positive_or("rope_theta", kDefaultRopeTheta);
  for (const std::string_view key : {"rope_parameters", "rope_scaling"}) {
    if (const auto rope = text.object(key)) {
      if (!rope->has("rope_type") && !rope->has("type")) text.fail(key, "no \"rope_type\" in it");
      check_keys(*rope, rope_keys(), warn);
      theta = rope->positive_or("rope_theta", theta);
    }
  }
  return theta;
}

void check_text(const Qwen2Config& text, const ConfigObject& where) {
  if (text.hidden_size % text.heads != 0) {
    where.fail("num_attention_heads",
               fmt::format("{} does not divide \"hidden_size\" {}", text.heads, text.hidden_size));
  }
  if (text.heads % text.kv_heads != 0) {
    where.fail("num_key_value_heads", fmt::format("{} does not divide \"num_attention_heads\" {}",
                                                  text.kv_heads, text.heads));
  }
  if (text.head_dim() % 2 != 0) {
    where.fail("num_attention_heads",
               fmt::format("heads of {} channels, but rotary positions need an even number",
                           text.head_dim()));
  }
  where.expect("head_dim", text.head_dim());
  for (const std::string& type :
       where.has("layer_types") ? where.texts("layer_types") : std::vector<std::string>{}) {
    if (type != "full_attention") {
      where.fail("layer_types",
                 fmt::format("{} is not supported, only \"full_attention\"", in_quotes(type)));
    }
  }
}

// `outer` has the keys that Transformers keeps beside "text_config"; LLaVA's form has only one
// level, and both are the same object.
Qwen2Config read_text(const ConfigObject& text, const ConfigObject& outer,
                      const ConfigWarning& warn) {
  Qwen2Config config;
  config.hidden_size = text.size("hidden_size");
  config.layers = text.size("num_hidden_layers");
  config.heads = text.size("num_attention_heads");
  config.kv_heads = text.size("num_key_value_heads");
  config.intermediate_size = text.size("intermediate_size");
  config.vocab_size = text.size_or("vocab_size", kDefaultVocabSize);
  config.rms_norm_eps = text.positive_or("rms_norm_eps", kDefaultNormEps);
  config.rope_theta = read_rope_theta(text, warn);
  config.max_positions = text.size_or("max_position_embeddings", kDefaultMaxPositions);
  const auto inner = text.boolean("tie_word_embeddings");
  config.tie_word_embeddings = outer.boolean("tie_word_embeddings").value_or(inner.value_or(false));
  check_text(config, text);
  return config;
}

void add_end_tokens(Qwen2Config& text, const ConfigObject& config) {
  for (const std::int32_t id : config.token_ids("eos_token_id", text.vocab_size)) {
    if (std::ranges::find(text.eos_tokens, id) == text.eos_tokens.end()) {
      text.eos_tokens.push_back(id);
    }
  }
}

TensorLayout read_layout(const ConfigObject& config) {
  const std::string type = config.text("model_type");
  if (type == "llava_qwen2") return TensorLayout::kLlava;
  if (type == "fast_vlm") return TensorLayout::kHuggingFace;
  config.fail("model_type",
              fmt::format("expected \"llava_qwen2\" or \"fast_vlm\", found {}", in_quotes(type)));
}

// "models/FastVLM-0.5B/" -> "FastVLM-0.5B".
std::string folder_name(const std::filesystem::path& folder) {
  const auto path = std::filesystem::absolute(folder).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

}  // namespace

FastVlmConfig read_config(const std::filesystem::path& folder, const ConfigWarning& warn) {
  std::error_code unreadable;
  const auto status = std::filesystem::status(folder, unreadable);
  if (!std::filesystem::exists(status)) {
    throw make_error("{}: no such folder", folder.string());
  }
  if (!std::filesystem::is_directory(status)) {
    throw make_error("{}: expected a checkpoint folder, found a file", folder.string());
  }
  const auto path = folder / "config.json";
  if (!std::filesystem::exists(path, unreadable)) {
    throw make_error("{}: no checkpoint: there is no config.json in this folder", folder.string());
  }
  const nlohmann::json json = read_json_object(path);
  const ConfigObject config(path.string(), json);

  FastVlmConfig result;
  result.name = folder_name(folder);
  result.layout = read_layout(config);
  const bool is_llava = result.layout == TensorLayout::kLlava;
  check_keys(config, is_llava ? llava_keys() : fast_vlm_keys(), warn);
  result.vision = read_vision(config, result.layout, warn);
  const auto nested = is_llava ? std::nullopt : config.object("text_config");
  if (!is_llava && !nested) {
    throw make_error("{}: missing key \"text_config\"", path.string());
  }
  if (nested) check_keys(*nested, text_config_keys(), warn);
  const ConfigObject& text = nested ? *nested : config;
  result.text = read_text(text, config, warn);
  read_preprocessing(folder, config, result, warn);
  if (is_llava) {
    config.expect("mm_hidden_size", result.vision.output_channels());
    result.has_patch_token = config.boolean("mm_use_im_patch_token").value_or(true);
    result.max_prompt = config.size_or("tokenizer_model_max_length", result.text.max_positions);
  } else {
    result.max_prompt = result.text.max_positions;
  }

  add_end_tokens(result.text, text);
  add_end_tokens(result.text, config);
  const auto generation = folder / "generation_config.json";
  if (std::filesystem::exists(generation, unreadable)) {
    const nlohmann::json generation_json = read_json_object(generation);
    const ConfigObject object(generation.string(), generation_json);
    // predict.py moves the file away before it loads a checkpoint of the LLaVA layout.
    if (!is_llava) check_keys(object, generation_keys(), warn);
    add_end_tokens(result.text, object);
  }
  return result;
}

void write_config(const FastVlmConfig& config, const std::string& dtype,
                  const std::filesystem::path& folder) {
  const FastViTHDConfig& vision = config.vision;
  const Qwen2Config& text = config.text;
  nlohmann::json mixers = nlohmann::json::array();
  for (const TokenMixer mixer : vision.token_mixers) {
    for (const MixerName& known : kMixerNames) {
      if (known.mixer == mixer) mixers.push_back(known.name);
    }
  }
  nlohmann::json json = {{"architectures", {"LlavaQwen2ForCausalLM"}},
                         {"model_type", "llava_qwen2"},
                         {"hidden_size", text.hidden_size},
                         {"num_hidden_layers", text.layers},
                         {"num_attention_heads", text.heads},
                         {"num_key_value_heads", text.kv_heads},
                         {"intermediate_size", text.intermediate_size},
                         {"vocab_size", text.vocab_size},
                         {"tie_word_embeddings", text.tie_word_embeddings},
                         {"rms_norm_eps", text.rms_norm_eps},
                         {"rope_theta", text.rope_theta},
                         {"max_position_embeddings", text.max_positions},
                         {"eos_token_id", text.eos_tokens},
                         {"mm_use_im_patch_token", config.has_patch_token},
                         {"tokenizer_model_max_length", config.max_prompt},
                         {"mm_projector_type", "mlp2x_gelu"},
                         {"mm_hidden_size", vision.output_channels()},
                         {"mm_vision_tower", "mobileclip_l_" + std::to_string(vision.image_size)},
                         {"torch_dtype", dtype},
                         {"vision_config",
                          {{"image_size", vision.image_size},
                           {"layers", vision.layers},
                           {"embed_dims", vision.embed_dims},
                           {"token_mixers", mixers},
                           {"mlp_ratio", vision.mlp_ratio},
                           {"head_dim", vision.head_dim},
                           {"cls_ratio", vision.cls_ratio},
                           {"se_ratio", vision.se_ratio}}}};
  write_preprocessing(config.preprocessing, json);
  const auto path = folder / "config.json";
  std::ofstream file(path, std::ios::binary);
  file << json.dump(2) << '\n';
  file.close();
  if (!file) throw make_error("{}: cannot be written", path.string());
}

}  // namespace fvlm
