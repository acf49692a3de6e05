// How pictures are prepared: both layouts' ways to say it, and that it outlives conversion.
#include "runtime/config/preprocessing_config.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "runtime/config/config_file.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fvlm {
namespace {

using nlohmann::json;
using Shape = Preprocessing::Shape;
using Filter = Preprocessing::Filter;

const json kDecoder = json::parse(R"({
  "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
  "intermediate_size": 4864, "vocab_size": 151936})");

class PictureConfig : public testing::Test {
 protected:
  FastVlmConfig read_llava(const std::string& patch) {
    json config = kDecoder;
    config["model_type"] = "llava_qwen2";
    config["mm_vision_tower"] = "mobileclip_l_512";
    config.merge_patch(json::parse(patch));
    return read(config);
  }
  // With a preprocessor_config.json as the published ports have, changed by `patch`.
  FastVlmConfig read_fast_vlm(const std::string& patch, const std::string& vision = "{}") {
    json processor = json::parse(R"({
        "image_processor_type": "LlavaImageProcessorFast", "size": {"shortest_edge": 512},
        "crop_size": {"height": 512, "width": 512}, "do_center_crop": true, "do_resize": true,
        "image_mean": [0, 0, 0], "image_std": [1, 1, 1], "resample": 3})");
    processor.merge_patch(json::parse(patch));
    write_file(folder_ / "preprocessor_config.json", processor.dump());
    return read_port(vision);
  }
  FastVlmConfig read_port(const std::string& vision = "{}") {
    return read({{"model_type", "fast_vlm"},
                 {"text_config", kDecoder},
                 {"vision_config", json::parse(vision)}});
  }
  std::string refusal(const std::string& patch) {
    return error_of([&] { read_fast_vlm(patch); });
  }
  FastVlmConfig read(const json& config) {
    write_file(folder_ / "config.json", config.dump());
    return read_config(folder_.path());
  }

  TemporaryFolder folder_;
};

void expect_fit(const FastVlmConfig& config, Shape shape, Filter filter, std::int64_t shorter_side,
                std::int64_t image_size) {
  EXPECT_EQ(config.preprocessing.shape, shape);
  EXPECT_EQ(config.preprocessing.filter, filter);
  EXPECT_EQ(config.preprocessing.shorter_side, shorter_side);
  EXPECT_EQ(config.vision.image_size, image_size);
}

TEST_F(PictureConfig, LlavaPads) {
  expect_fit(read_llava(R"({"image_aspect_ratio": "pad"})"), Shape::kPad, Filter::kBicubic, 0, 512);
}

// As Apple's process_images does for everything but "pad" and "anyres".
TEST_F(PictureConfig, LlavaCrops) {
  for (const char* way :
       {R"({"image_aspect_ratio": "square"})", R"({"image_aspect_ratio": null})", "{}"}) {
    expect_fit(read_llava(way), Shape::kCrop, Filter::kBicubic, 512, 512);
  }
}

TEST_F(PictureConfig, LlavaRefusesOtherWays) {
  for (const std::string way : {"anyres", "anyres_max_9", "crop", ""}) {
    const json patch = {{"image_aspect_ratio", way}};
    EXPECT_PRED2(contains, error_of([&] { read_llava(patch.dump()); }),
                 "key \"image_aspect_ratio\": \"" + way +
                     "\" is not supported, only \"pad\" and \"square\"");
  }
}

// Apple's loader builds the processor itself.
TEST_F(PictureConfig, LlavaReadsNoProcessor) {
  write_file(folder_ / "preprocessor_config.json", R"({"image_mean": [0.5, 0.5, 0.5]})");
  write_file(folder_ / "processor_config.json", R"({"patch_size": 14})");
  expect_fit(read_llava("{}"), Shape::kCrop, Filter::kBicubic, 512, 512);
}

TEST_F(PictureConfig, FastVlmWithoutAFileCrops) {
  expect_fit(read_port(), Shape::kCrop, Filter::kBicubic, 1024, 1024);
}

TEST_F(PictureConfig, FastVlmDoesWhatTheFileSays) {
  expect_fit(read_fast_vlm("{}"), Shape::kCrop, Filter::kBicubic, 512, 512);
  expect_fit(read_fast_vlm(R"({"size": {"shortest_edge": 600}, "resample": 2})"), Shape::kCrop,
             Filter::kBilinear, 600, 512);
  expect_fit(read_fast_vlm(R"({"do_pad": true})"), Shape::kPad, Filter::kBicubic, 0, 512);
  expect_fit(read_fast_vlm(R"({"do_pad": true, "do_center_crop": false, "resample": 2,
                 "size": {"shortest_edge": null, "height": 384, "width": 384}})"),
             Shape::kPad, Filter::kBilinear, 0, 384);
  expect_fit(read_fast_vlm(R"({"image_mean": 0, "image_std": 1.0, "do_convert_rgb": null,
                 "image_processor_type": "CLIPImageProcessor"})"),
             Shape::kCrop, Filter::kBicubic, 512, 512);
  expect_fit(read_fast_vlm(R"({"do_normalize": false, "image_std": null, "image_mean": [9]})"),
             Shape::kCrop, Filter::kBicubic, 512, 512);
}

TEST_F(PictureConfig, TheWholeProcessorsFileComesFirst) {
  write_file(folder_ / "preprocessor_config.json", R"({"image_processor_type": "Other"})");
  json whole = json::parse(R"({"processor_class": "FastVlmProcessor", "patch_size": 64,
      "image_processor": {"image_processor_type": "CLIPImageProcessor", "image_mean": 0,
          "image_std": 1, "size": {"shortest_edge": 320},
          "crop_size": {"height": 256, "width": 256}}})");
  write_file(folder_ / "processor_config.json", whole.dump());
  expect_fit(read_port(), Shape::kCrop, Filter::kBicubic, 320, 256);
  whole["patch_size"] = 14;
  write_file(folder_ / "processor_config.json", whole.dump());
  EXPECT_PRED2(contains, error_of([&] { read_port(); }),
               "processor_config.json: key \"patch_size\": 14 is not supported, only 64");
  whole.erase("image_processor");
  whole.erase("patch_size");
  write_file(folder_ / "processor_config.json", whole.dump());
  EXPECT_PRED2(contains, error_of([&] { read_port(); }),
               "preprocessor_config.json: key \"image_processor_type\"");
}

TEST_F(PictureConfig, FastVlmRefusesWhatItCannotDo) {
  const struct {
    std::string patch;
    std::string message;
  } refused[] = {
      {R"({"image_processor_type": "SiglipImageProcessor"})", "key \"image_processor_type\""},
      {R"({"image_processor_type": null})", "missing key \"image_processor_type\""},
      {R"({"do_resize": false})", "key \"do_resize\": false is not supported"},
      {R"({"do_rescale": false})", "key \"do_rescale\": false is not supported"},
      {R"({"do_center_crop": false})", "key \"do_center_crop\""},
      {R"({"rescale_factor": 0.00784})", "key \"rescale_factor\": only 1/255"},
      {R"({"resample": 1})", "key \"resample\""},
      {R"({"image_mean": [0.48, 0.46, 0.41]})", "key \"image_mean\": only 0 is supported"},
      {R"({"image_std": [0.27, 0.26, 0.28]})", "key \"image_std\": only 1 is supported"},
      {R"({"image_mean": null})", "key \"image_mean\": missing, which means CLIP's"},
      {R"({"do_pad": true, "do_normalize": false, "image_mean": [1, 1, 1]})",
       "key \"image_mean\": only 0"},
      {R"({"do_pad": true, "image_processor_type": "CLIPImageProcessor"})", "key \"do_pad\""},
      {R"({"do_pad": true, "size": {"shortest_edge": 600}})",
       "key \"crop_size\": 512 pixels do "
       "not fit \"size\", 600"},
      {R"({"size": {"shortest_edge": 448}})", "key \"crop_size\": 512 pixels do not fit"},
      {R"({"size": {"shortest_edge": 512, "longest_edge": 600}})", "\"longest_edge\""},
      {R"({"size": {"shortest_edge": null, "height": 512, "width": 512}})",
       "key \"size\": height and width are supported with \"do_pad\" only"},
      {R"({"crop_size": {"height": 512, "width": 448}})", "key \"crop_size\": height and width"},
      {R"({"crop_size": 512})", "key \"crop_size\": expected an object"},
      {R"({"size": null})", "key \"crop_size\": 512 pixels do not fit \"size\", 224"},
      {R"({"crop_size": {"height": 500, "width": 500}})", "image size 500"},
  };
  for (const auto& [patch, message] : refused) {
    SCOPED_TRACE(patch);
    EXPECT_PRED2(contains, refusal(patch), message);
  }
  EXPECT_PRED2(contains, error_of([&] { read_fast_vlm("{}", R"({"image_size": 1024})"); }),
               "key \"vision_config.image_size\": 1024, but the processor's pictures have 512");
}

// `fastvlm convert` writes the LLaVA layout.
TEST_F(PictureConfig, OutlivesWriting) {
  TemporaryFolder written;
  for (const char* patch :
       {"{}", R"({"do_pad": true})", R"({"size": {"shortest_edge": 600}, "resample": 2})"}) {
    const FastVlmConfig before = read_fast_vlm(patch);
    write_config(before, "bfloat16", written.path());
    expect_fit(read_config(written.path()), before.preprocessing.shape, before.preprocessing.filter,
               before.preprocessing.shorter_side, before.vision.image_size);
  }
  EXPECT_PRED2(contains,
               error_of([&] { read_llava(R"({"vision_config": {"shorter_side": 511}})"); }),
               "key \"vision_config.shorter_side\": expected at least 512");
  EXPECT_PRED2(contains,
               error_of([&] { read_llava(R"({"vision_config": {"resample": "nearest"}})"); }),
               "key \"vision_config.resample\": expected \"bilinear\" or \"bicubic\"");
}

}  // namespace
}  // namespace fvlm
