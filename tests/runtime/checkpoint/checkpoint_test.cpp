// Checkpoint folders: one file, shards, both tensor layouts, and everything that can be missing.
#include "runtime/checkpoint/checkpoint.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/checkpoint/safetensors_writer.hpp"
#include "runtime/checkpoint/tensor_names.hpp"
#include "runtime/config/json_file.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fvlm {
namespace {

using nlohmann::json;
using std::filesystem::path;

const path kTiny = path(FVLM_TEST_DATA) / "golden/tiny/checkpoint";
const std::string kEncoder = "model.vision_tower.vision_tower.model.";
const std::string kUnused = kEncoder + "head.proj";

void write_tensors(const path& file, const std::vector<const TensorView*>& tensors,
                   std::string (*rename)(std::string_view)) {
  std::vector<TensorHeader> headers;
  for (const TensorView* t : tensors) headers.push_back({rename(t->name), t->dtype, t->shape});
  SafetensorsWriter writer(file, std::move(headers));
  for (const TensorView* t : tensors) writer.write(t->data);
  writer.finish();
}

std::string same_name(std::string_view name) {
  return std::string(name);
}

void write_index(const path& folder, const json& weight_map) {
  write_file(folder / "model.safetensors.index.json", json{{"weight_map", weight_map}}.dump());
}

void copy_config(const path& folder) {
  std::filesystem::copy_file(kTiny / "config.json", folder / "config.json");
}

std::string open_error(const path& folder) {
  return error_of([&] { Checkpoint::open(folder); });
}

void expect_same_tensors(const Checkpoint& checkpoint, const Checkpoint& original) {
  for (const TensorView* tensor : original.tensors()) {
    if (tensor->name == kUnused && checkpoint.find(kUnused) == nullptr) continue;
    const TensorView& found = checkpoint.require({tensor->name, tensor->shape, Role::kWeight});
    EXPECT_EQ(found.dtype, tensor->dtype) << tensor->name;
    EXPECT_TRUE(std::ranges::equal(found.data, tensor->data)) << tensor->name;
  }
}

TEST(Checkpoint, OpensTheTinyCheckpoint) {
  const Checkpoint checkpoint = Checkpoint::open(kTiny);
  EXPECT_EQ(checkpoint.config().text.layers, 3);
  EXPECT_EQ(checkpoint.folder(), kTiny);
  EXPECT_EQ(checkpoint.tensors().size(), 167U);
  EXPECT_EQ(checkpoint.find("lm_head.weight"), nullptr);
  const TensorView& table =
      checkpoint.require({"model.embed_tokens.weight", {1024, 64}, Role::kWeight});
  std::vector<float> values(static_cast<std::size_t>(table.elements()));
  copy_as_float(table, values);
  EXPECT_TRUE(std::ranges::all_of(values, [](float v) { return std::abs(v) < 10; }));
  checkpoint.release(table);
  std::vector<float> again(values.size());
  copy_as_float(table, again);
  EXPECT_EQ(values, again);
}

TEST(Checkpoint, ChecksShapes) {
  const Checkpoint checkpoint = Checkpoint::open(kTiny);
  const auto require = [&](const std::string& name, const std::vector<std::int64_t>& shape) {
    return &checkpoint.require({name, shape, Role::kWeight});
  };
  const std::string fc1 = kEncoder + "network.0.0.convffn.fc1.weight";  // [64, 16, 1, 1]
  EXPECT_EQ(require(fc1, {64, 16, 1, 1}), checkpoint.find(fc1));
  EXPECT_EQ(require(fc1, {64, 16}), checkpoint.find(fc1));
  EXPECT_NO_THROW(require("model.mm_projector.0.weight", {64, 512, 1, 1}));  // stored [64, 512]
  EXPECT_NO_THROW(require(kEncoder + "network.0.0.layer_scale", {16}));      // stored [16, 1, 1]
  const std::string file = (kTiny / "model.safetensors").string();
  EXPECT_EQ(error_of([&] {
              require(fc1, {16, 64});
            }),
            file + ": tensor \"" + fc1 + "\": expected shape [16, 64], found [64, 16, 1, 1]");
  EXPECT_PRED2(contains, error_of([&] { require(fc1, {1024}); }), "expected shape [1024]");
  EXPECT_PRED2(contains, error_of([&] { require(fc1, {64, 16, 1, 2}); }), "found [64, 16, 1, 1]");
  EXPECT_PRED2(contains, error_of([&] { require(fc1, {}); }), "expected shape []");
  EXPECT_EQ(error_of([&] {
              require("model.layers.3.mlp.up_proj.weight", {160, 64});
            }),
            file +
                ": tensor \"model.layers.3.mlp.up_proj.weight\" is missing, expected shape "
                "[160, 64]");
}

TEST(Checkpoint, ListsWhatIsNotUsed) {
  const Checkpoint checkpoint = Checkpoint::open(kTiny);
  std::vector<std::string> names;
  for (const TensorView* tensor : checkpoint.tensors()) names.push_back(tensor->name);
  EXPECT_TRUE(checkpoint.tensors_besides(names).empty());
  std::erase(names, kUnused);
  const auto others = checkpoint.tensors_besides(names);
  ASSERT_EQ(others.size(), 1U);
  EXPECT_EQ(others.front()->name, kUnused);
  EXPECT_EQ(checkpoint.tensors_besides({}).size(), checkpoint.tensors().size());
}

TEST(Checkpoint, RefusesIntegers) {
  TemporaryFolder folder;
  copy_config(folder.path());
  {
    SafetensorsWriter writer(folder / "model.safetensors", {{"count", DType::kI16, {1}}});
    const std::array<std::byte, 2> zeros{};
    writer.write(zeros);
    writer.finish();
  }
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  EXPECT_PRED2(contains, error_of([&] {
                 checkpoint.require({"count", {1}, Role::kWeight});
               }),
               "tensor \"count\": expected F32, F16 or BF16, found I16");
}

TEST(Checkpoint, RefusesFoldersWithoutWeights) {
  TemporaryFolder folder;
  EXPECT_PRED2(contains, open_error(folder / "none"), "none: no such folder");
  EXPECT_PRED2(contains, open_error(folder.path()), "there is no config.json");
  copy_config(folder.path());
  EXPECT_PRED2(contains, open_error(folder.path()),
               "no weights: expected model.safetensors, pytorch_model.bin or the "
               "model.safetensors.index.json of shards");
  write_file(folder / "pytorch_model.bin", "x");
  EXPECT_PRED2(contains, open_error(folder.path()), "pytorch_model.bin: not a file of torch.save");
  write_file(folder / "model.safetensors", "");
  EXPECT_PRED2(contains, open_error(folder.path()), "model.safetensors: not a safetensors file");
}

class ShardedCheckpoint : public ::testing::Test {
 protected:
  // The tiny checkpoint in two shards: the decoder's tensors and all others.
  ShardedCheckpoint() {
    copy_config(folder_.path());
    std::vector<const TensorView*> decoder;
    std::vector<const TensorView*> rest;
    for (const TensorView* tensor : original_.tensors()) {
      const bool first = tensor->name.starts_with("model.layers.");
      (first ? decoder : rest).push_back(tensor);
      weight_map_[tensor->name] = first ? kFirst : kSecond;
    }
    write_tensors(folder_ / kFirst, decoder, same_name);
    write_tensors(folder_ / kSecond, rest, same_name);
    write_index(folder_.path(), weight_map_);
  }

  const std::string kFirst = "model-00001-of-00002.safetensors";
  const std::string kSecond = "model-00002-of-00002.safetensors";
  Checkpoint original_ = Checkpoint::open(kTiny);
  TemporaryFolder folder_;
  json weight_map_;
};

TEST_F(ShardedCheckpoint, HasTheSameTensors) {
  Checkpoint opened = Checkpoint::open(folder_.path());
  const Checkpoint checkpoint = std::move(opened);  // its tensors stay where they are
  EXPECT_EQ(checkpoint.tensors().size(), original_.tensors().size());
  expect_same_tensors(checkpoint, original_);
  const TensorView* norm = checkpoint.find("model.norm.weight");
  EXPECT_EQ(norm->file, (folder_ / kSecond).string());
  checkpoint.release(*norm);
  EXPECT_TRUE(std::ranges::equal(norm->data, original_.find("model.norm.weight")->data));
  EXPECT_PRED2(contains, error_of([&] {
                 checkpoint.require({"model.x", {1}, Role::kWeight});
               }),
               folder_.path().string() + ": tensor \"model.x\" is missing");
}

TEST_F(ShardedCheckpoint, RefusesAMissingShard) {
  std::filesystem::remove(folder_ / kFirst);
  EXPECT_EQ(open_error(folder_.path()),
            (folder_ / kFirst).string() +
                ": the file is missing, but model.safetensors.index.json lists it");
}

TEST_F(ShardedCheckpoint, RefusesATensorThatItsShardLacks) {
  weight_map_["model.norm.weight"] = kFirst;
  write_index(folder_.path(), weight_map_);
  EXPECT_EQ(open_error(folder_.path()),
            (folder_ / kFirst).string() +
                ": tensor \"model.norm.weight\" is missing, but model.safetensors.index.json says "
                "that it is in this file");
}

TEST_F(ShardedCheckpoint, RefusesATensorInTwoShards) {
  write_tensors(folder_ / "extra.safetensors", {original_.find("model.norm.weight")}, same_name);
  weight_map_["model.norm.weight"] = "extra.safetensors";
  write_index(folder_.path(), weight_map_);
  const std::string message = open_error(folder_.path());
  EXPECT_PRED2(contains, message, "tensor \"model.norm.weight\" is also in");
  EXPECT_PRED2(contains, message, "extra.safetensors");
  EXPECT_PRED2(contains, message, kSecond);
}

TEST_F(ShardedCheckpoint, RefusesADamagedShard) {
  const std::string content = read_file(folder_ / kSecond);
  write_file(folder_ / kSecond, content.substr(0, content.size() - 1));
  EXPECT_PRED2(contains, open_error(folder_.path()), kSecond + ": the file is cut short");
}

TEST_F(ShardedCheckpoint, RefusesABadIndex) {
  const auto refused = [&](const std::string& index) {
    write_file(folder_ / "model.safetensors.index.json", index);
    const std::string message = open_error(folder_.path());
    EXPECT_PRED2(contains, message, "model.safetensors.index.json");
    return message;
  };
  EXPECT_PRED2(contains, refused(""), "not valid JSON");
  EXPECT_PRED2(contains, refused("{}"), "missing key \"weight_map\"");
  EXPECT_PRED2(contains, refused(R"({"weight_map": []})"), "missing key \"weight_map\"");
  EXPECT_PRED2(contains, refused(R"({"weight_map": {"a": 1}})"), "tensor \"a\": expected the name");
  EXPECT_PRED2(contains, refused(R"({"weight_map": {"a": "x", "a": "y"}})"), "appears twice");
  for (const std::string name :
       {"../model.safetensors", "/etc/passwd", "..", ".", "", "a/b", "a\\u0000b", "a\\nb"}) {
    EXPECT_PRED2(contains, refused(R"({"weight_map": {"a": ")" + name + R"("}})"),
                 "expected the name of a file in this folder")
        << name;
  }
  const std::string long_name(300, 'x');
  EXPECT_PRED2(contains, refused(R"({"weight_map": {"a": ")" + long_name + R"("}})"), "is missing");
}

TEST(TensorNames, HuggingFace) {
  const std::string timm = "model.vision_tower.timm_model.";
  const std::pair<std::string, std::string> names[] = {
      {kEncoder + "patch_embed.0.reparam_conv.weight", timm + "stem.0.reparam_conv.weight"},
      {kEncoder + "patch_embed.2.reparam_conv.bias", timm + "stem.2.reparam_conv.bias"},
      {kEncoder + "network.0.1.token_mixer.reparam_conv.weight",
       timm + "stages.0.blocks.1.token_mixer.reparam_conv.weight"},
      {kEncoder + "network.0.1.layer_scale", timm + "stages.0.blocks.1.layer_scale.gamma"},
      {kEncoder + "network.1.proj.0.lkb_reparam.weight",
       timm + "stages.1.downsample.proj.0.reparam_conv.weight"},
      {kEncoder + "network.1.proj.1.reparam_conv.bias",
       timm + "stages.1.downsample.proj.1.reparam_conv.bias"},
      {kEncoder + "network.2.11.convffn.conv.conv.weight",
       timm + "stages.1.blocks.11.mlp.conv.conv.weight"},
      {kEncoder + "network.3.proj.0.lkb_reparam.bias",
       timm + "stages.2.downsample.proj.0.reparam_conv.bias"},
      {kEncoder + "network.4.23.convffn.conv.bn.running_var",
       timm + "stages.2.blocks.23.mlp.conv.bn.running_var"},
      {kEncoder + "network.4.23.convffn.conv.bn.num_batches_tracked",
       timm + "stages.2.blocks.23.mlp.conv.bn.num_batches_tracked"},
      {kEncoder + "network.5.proj.1.reparam_conv.weight",
       timm + "stages.3.downsample.proj.1.reparam_conv.weight"},
      {kEncoder + "network.6.reparam_conv.weight", timm + "stages.3.pos_emb.reparam_conv.weight"},
      {kEncoder + "network.7.3.norm.weight", timm + "stages.3.blocks.3.norm.weight"},
      {kEncoder + "network.7.3.layer_scale_1", timm + "stages.3.blocks.3.layer_scale_1.gamma"},
      {kEncoder + "network.7.3.layer_scale_2", timm + "stages.3.blocks.3.layer_scale_2.gamma"},
      {kEncoder + "network.7.3.token_mixer.qkv.weight",
       timm + "stages.3.blocks.3.token_mixer.qkv.weight"},
      {kEncoder + "network.7.3.token_mixer.proj.bias",
       timm + "stages.3.blocks.3.token_mixer.proj.bias"},
      {kEncoder + "network.8.proj.0.lkb_reparam.weight",
       timm + "stages.4.downsample.proj.0.reparam_conv.weight"},
      {kEncoder + "network.9.reparam_conv.bias", timm + "stages.4.pos_emb.reparam_conv.bias"},
      {kEncoder + "network.10.1.convffn.fc2.weight", timm + "stages.4.blocks.1.mlp.fc2.weight"},
      {kEncoder + "conv_exp.reparam_conv.weight", timm + "final_conv.reparam_conv.weight"},
      {kEncoder + "conv_exp.se.reduce.weight", timm + "final_conv.se.fc1.weight"},
      {kEncoder + "conv_exp.se.expand.bias", timm + "final_conv.se.fc2.bias"},
      {"model.mm_projector.0.weight", "model.multi_modal_projector.linear_1.weight"},
      {"model.mm_projector.2.bias", "model.multi_modal_projector.linear_2.bias"},
      {"model.embed_tokens.weight", "model.language_model.embed_tokens.weight"},
      {"model.layers.10.mlp.gate_proj.weight",
       "model.language_model.layers.10.mlp.gate_proj.weight"},
      {"model.layers.0.self_attn.q_proj.bias",
       "model.language_model.layers.0.self_attn.q_proj.bias"},
      {"model.norm.weight", "model.language_model.norm.weight"},
      {"lm_head.weight", "lm_head.weight"},
  };
  for (const auto& [llava, hugging_face] : names) EXPECT_EQ(hugging_face_name(llava), hugging_face);
}

TEST(TensorNames, OddNamesOnlyFindNothing) {
  for (const std::string name : {"", "network", "network.", "network.11.x", "network.x",
                                 "network.99999999999999999999.y", "..", "a..b."}) {
    EXPECT_NO_THROW(hugging_face_name(kEncoder + name));
    EXPECT_EQ(hugging_face_name(name), name);
  }
}

TEST(Checkpoint, HuggingFaceLayoutHasTheSameTensors) {
  const Checkpoint original = Checkpoint::open(kTiny);
  TemporaryFolder folder;
  json config = read_json_object(kTiny / "config.json");
  json vision = config["vision_config"];
  vision["architecture"] = "fastvit_mci3";
  config.erase("vision_config");
  config["model_type"] = "qwen2";
  write_file(
      folder / "config.json",
      json{{"model_type", "fast_vlm"}, {"text_config", config}, {"vision_config", vision}}.dump());
  std::vector<const TensorView*> tensors = original.tensors();
  std::erase_if(tensors, [](const TensorView* t) { return t->name == kUnused; });
  write_tensors(folder / "model.safetensors", tensors, hugging_face_name);

  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  EXPECT_EQ(checkpoint.config().layout, TensorLayout::kHuggingFace);
  EXPECT_EQ(checkpoint.config().text.hidden_size, original.config().text.hidden_size);
  EXPECT_EQ(checkpoint.config().vision.embed_dims, original.config().vision.embed_dims);
  EXPECT_EQ(checkpoint.tensors().size(), 166U);
  expect_same_tensors(checkpoint, original);

  std::vector<std::string> names;
  for (const TensorView* tensor : tensors) names.push_back(tensor->name);
  EXPECT_TRUE(checkpoint.tensors_besides(names).empty());
  // Errors speak of the names in the file.
  EXPECT_PRED2(contains, error_of([&] {
                 checkpoint.require({"model.norm.weight", {63}, Role::kWeight});
               }),
               "tensor \"model.language_model.norm.weight\": expected shape [63], found [64]");
  EXPECT_PRED2(contains, error_of([&] {
                 checkpoint.require({"model.mm_projector.1.weight", {1}, Role::kWeight});
               }),
               "is missing");
}

}  // namespace
}  // namespace fvlm
