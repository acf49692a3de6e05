// Conversion: the result computes what the source does, is the same every time, and no damage to it
// goes unseen.
#include "runtime/convert/convert.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "fvlm/image.hpp"
#include "runtime/checkpoint/adapter.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/checkpoint/safetensors.hpp"
#include "runtime/checkpoint/safetensors_writer.hpp"
#include "runtime/engine/prompt.hpp"
#include "runtime/engine/trace_run.hpp"
#include "tests/runtime/checkpoint/torch_bytes.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/tools/cli_checkpoint.hpp"

namespace fvlm {
namespace {

namespace fs = std::filesystem;

const fs::path kGoldens = fs::path(FVLM_TEST_DATA) / "golden";

ConvertOptions conversion(const fs::path& input, const fs::path& output, WeightFormat format) {
  ConvertOptions options;
  options.input = input;
  options.output = output;
  options.format = format;
  return options;
}

Comparison compare(const fs::path& a, const fs::path& b) {
  return compare_checkpoints(a, {}, b);
}

class Convert : public testing::TestWithParam<std::string> {
 protected:
  fs::path source() const { return kGoldens / GetParam() / "checkpoint"; }
  fs::path converted(WeightFormat type, const std::string& name = "out") const {
    convert_checkpoint(conversion(source(), folder_ / name, type));
    return folder_ / name;
  }

  TemporaryFolder folder_;
};

TEST_P(Convert, Float32ComputesTheSame) {
  const Comparison found = compare(source(), converted(WeightFormat::kF32));
  EXPECT_TRUE(found.same_tokens);
  EXPECT_LE(found.features, 1e-5);
  EXPECT_LE(found.logits, 1e-5);
}

TEST_P(Convert, HalfTypesComputeNearlyTheSame) {
  EXPECT_LE(compare(source(), converted(WeightFormat::kBF16, "bf16")).features, 2e-2);
  EXPECT_LE(compare(source(), converted(WeightFormat::kF16, "f16")).features, 2e-3);
}

TEST_P(Convert, GivesTheSameBitsAgain) {
  const fs::path first = converted(WeightFormat::kF32, "first");
  const fs::path second = converted(WeightFormat::kF32, "second");
  const std::string bytes = read_file(first / "model.safetensors");
  EXPECT_EQ(bytes, read_file(second / "model.safetensors"));
  convert_checkpoint(conversion(first, folder_ / "third", WeightFormat::kF32));
  const auto a = SafetensorsFile::open(first / "model.safetensors");
  const auto b = SafetensorsFile::open(folder_ / "third" / "model.safetensors");
  ASSERT_EQ(a.tensors().size(), b.tensors().size());
  for (const TensorView& tensor : a.tensors()) {
    const TensorView* again = b.find(tensor.name);
    ASSERT_NE(again, nullptr) << tensor.name;
    EXPECT_TRUE(std::ranges::equal(tensor.data, again->data)) << tensor.name;
  }
}

// Quantised in the file or while loading: the same bits, so the same numbers.
TEST_P(Convert, QuantisedEqualsQuantisingWhileLoading) {
  for (const auto& [format, precision] : {std::pair(WeightFormat::int8(), Precision::kInt8),
                                          std::pair(WeightFormat::int4(), Precision::kInt4)}) {
    const fs::path out = folder_ / std::string(name_of(format.type));
    ConvertOptions options = conversion(source(), out, format);
    options.vision_format = WeightFormat::kF32;
    convert_checkpoint(options);
    const Image image{64, 48, std::vector<std::uint8_t>(64 * 48 * 3, 99)};
    const auto traced = [&](const fs::path& folder, Precision kept) {
      return trace_run({.model_path = folder,
                        .prompt_ids = {1, 2, kImageToken, 3},
                        .max_new_tokens = 4,
                        .device = Device::kCpu,
                        .precision = kept},
                       *open_pixels(image));
    };
    const auto loaded = traced(source(), precision);
    const auto converted = traced(out, Precision::kAuto);
    ASSERT_EQ(loaded.size(), converted.size());
    for (std::size_t i = 0; i < loaded.size(); ++i) {
      EXPECT_EQ(loaded[i].values, converted[i].values) << loaded[i].name;
    }
  }
}

TEST_P(Convert, EncoderInInt8IsNear) {
  ConvertOptions options = conversion(source(), folder_ / "out", WeightFormat::kF32);
  options.vision_format = WeightFormat::int8();
  convert_checkpoint(options);
  EXPECT_LE(compare(source(), folder_ / "out").features, 5e-2);
}

TEST(ConvertQuantised, NamesAFormatThatItDoesNotKnow) {
  TemporaryFolder folder;
  convert_checkpoint(conversion(kGoldenTiny / "checkpoint", folder / "out", WeightFormat::int4()));
  const fs::path file = folder / "out" / "model.safetensors";
  const auto good = SafetensorsFile::open(file);
  std::vector<TensorHeader> headers;
  for (const TensorView& t : good.tensors()) headers.push_back({t.name, t.dtype, t.shape});
  auto metadata = good.metadata();
  metadata[kQuantisedKey + "model.layers.0.mlp.up_proj.weight"] = "int3 64";
  fs::create_directory(folder / "newer");
  fs::copy(folder / "out" / "config.json", folder / "newer");
  SafetensorsWriter writer(folder / "newer" / "model.safetensors", headers, metadata);
  for (const TensorView& t : good.tensors()) writer.write(t.data);
  writer.finish();
  const std::string error = error_of([&] {
    convert_checkpoint(conversion(folder / "newer", folder / "again", WeightFormat::kF32));
  });
  EXPECT_NE(error.find("\"int3 64\""), std::string::npos) << error;
}

INSTANTIATE_TEST_SUITE_P(Goldens, Convert, testing::Values("tiny", "gqa7"));

TEST(ConvertPyTorch, ComputesTheSameAsSafetensors) {
  TemporaryFolder folder;
  fs::copy(kGoldenTiny / "checkpoint", folder / "torch");
  fs::remove(folder / "torch" / "model.safetensors");
  fs::copy(kGoldens / "torch_bin" / "single_bf16" / "pytorch_model.bin", folder / "torch");
  convert_checkpoint(conversion(folder / "torch", folder / "out", WeightFormat::kF32));
  const Comparison found = compare(kGoldenTiny / "checkpoint", folder / "out");
  EXPECT_TRUE(found.same_tokens);
  EXPECT_LE(found.logits, 1e-5);
}

// LLaVA's training leaves a LoRA adapter and what was trained whole; merged, they are the matrices
// that this computes by hand.
TEST(ConvertAdapter, MergesChangesIntoTheBase) {
  const std::string matrix = "model.layers.1.mlp.up_proj.weight";  // [160, 64]
  const std::string bias = "model.mm_projector.0.bias";            // [64]
  constexpr std::size_t kOut = 160;
  constexpr std::size_t kIn = 64;
  constexpr std::size_t kRank = 4;
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 0.1F);
  std::vector<float> a(kRank * kIn);
  std::vector<float> b(kOut * kRank);
  std::vector<float> new_bias(kIn);
  for (auto* values : {&a, &b, &new_bias}) {
    for (float& v : *values) v = normal(random);
  }
  TemporaryFolder folder;
  fs::create_directory(folder / "adapter");
  write_file(folder / "adapter" / "adapter_config.json",
             R"({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "none"})");
  {
    const std::string layer = "base_model.model.model.layers.1.mlp.up_proj.";
    SafetensorsWriter writer(folder / "adapter" / "adapter_model.safetensors",
                             {{layer + "lora_A.weight", DType::kF32, {kRank, kIn}},
                              {layer + "lora_B.weight", DType::kF32, {kOut, kRank}}});
    writer.write(std::as_bytes(std::span(a)));
    writer.write(std::as_bytes(std::span(b)));
    writer.finish();
  }
  using namespace program;
  std::string bias_bytes(new_bias.size() * sizeof(float), '\0');
  std::memcpy(bias_bytes.data(), new_bias.data(), bias_bytes.size());
  write_file(folder / "adapter" / "non_lora_trainables.bin",
             torch_archive(dictionary({{"base_model.model." + bias,
                                        tensor(storage("FloatStorage", "0", kIn), 0, {kIn}, {1})}}),
                           {{"0", bias_bytes}}));

  ConvertOptions options = conversion(folder / "adapter", folder / "out", WeightFormat::kF32);
  EXPECT_NE(error_of([&] { convert_checkpoint(options); }).find("--model-base"), std::string::npos);
  options.base = kGoldenTiny / "checkpoint";
  convert_checkpoint(options);

  const auto values = [](const Checkpoint& checkpoint, const std::string& name) {
    const TensorView* tensor = checkpoint.find(name);
    std::vector<float> out(static_cast<std::size_t>(tensor->elements()));
    copy_as_float(*tensor, out);
    return out;
  };
  const Checkpoint base = Checkpoint::open(options.base);
  const Checkpoint merged = Checkpoint::open(folder / "out");
  EXPECT_EQ(values(merged, bias), new_bias);
  EXPECT_EQ(values(merged, "model.layers.0.mlp.up_proj.weight"),
            values(base, "model.layers.0.mlp.up_proj.weight"));
  const auto before = values(base, matrix);
  const auto after = values(merged, matrix);
  for (std::size_t r = 0; r < kOut; ++r) {
    for (std::size_t c = 0; c < kIn; ++c) {
      double change = 0;
      for (std::size_t k = 0; k < kRank; ++k) change += double{b[r * kRank + k]} * a[k * kIn + c];
      ASSERT_NEAR(after[r * kIn + c], before[r * kIn + c] + 8.0 / kRank * change, 1e-6);
    }
  }
  EXPECT_LE(compare_checkpoints(folder / "adapter", options.base, folder / "out").logits, 1e-5);
}

// What PEFT's wrappers call the tensors that were trained whole, and those of the base beside them.
TEST(ConvertAdapter, KnowsModulesToSave) {
  using Part = AdapterName::Part;
  const std::string wrapped = "base_model.model.model.mm_projector.";
  const struct {
    std::string stored;
    std::string name;
    Part part;
  } names[] = {
      {wrapped + "modules_to_save.default.0.weight", "model.mm_projector.0.weight", Part::kWhole},
      {wrapped + "modules_to_save.0.weight", "model.mm_projector.0.weight", Part::kWhole},
      {wrapped + "original_module.0.weight", "model.mm_projector.0.weight", Part::kOriginal},
      {wrapped + "0.lora_A.default.weight", "model.mm_projector.0.weight", Part::kA},
      {wrapped + "0.base_layer.bias", "model.mm_projector.0.bias", Part::kWhole},
      {"base_model.model.lm_head.modules_to_save.default.weight", "lm_head.weight", Part::kWhole},
  };
  for (const auto& [stored, name, part] : names) {
    EXPECT_EQ(parse_adapter_name(stored).name, name) << stored;
    EXPECT_EQ(parse_adapter_name(stored).part, part) << stored;
  }

  const std::string bias = "mm_projector.0.bias";  // [64]
  TemporaryFolder folder;
  SafetensorsWriter writer(folder / "adapter_model.safetensors",
                           {{wrapped + "modules_to_save.default.0.bias", DType::kF32, {64}},
                            {wrapped + "original_module.0.bias", DType::kF32, {64}}});
  const std::vector<float> trained(64, 5);
  const std::vector<float> original(64, 7);
  writer.write(std::as_bytes(std::span(trained)));
  writer.write(std::as_bytes(std::span(original)));
  writer.finish();
  write_file(folder / "adapter_config.json", R"({"peft_type": "LORA", "lora_alpha": 8})");
  const Checkpoint merged = Checkpoint::open(folder.path(), kGoldenTiny / "checkpoint");
  std::vector<float> found(64);
  copy_as_float(*merged.find("model." + bias), found);
  EXPECT_EQ(found, trained);
}

TEST(ConvertAdapter, RefusesWhatItDoesNotApply) {
  TemporaryFolder folder;
  const auto refusal = [&](const std::string& config) {
    write_file(folder / "adapter_config.json", config);
    return error_of([&] { Checkpoint::open(folder.path(), kGoldenTiny / "checkpoint"); });
  };
  EXPECT_NE(refusal(R"({"peft_type": "IA3", "lora_alpha": 8})").find("peft_type"),
            std::string::npos);
  EXPECT_NE(refusal(R"({"use_dora": true, "lora_alpha": 8})").find("use_dora"), std::string::npos);
  EXPECT_NE(refusal(R"({"rank_pattern": {"a": 1}, "lora_alpha": 8})").find("rank_pattern"),
            std::string::npos);
  EXPECT_NE(refusal(R"({"peft_type": "LORA"})").find("lora_alpha"), std::string::npos);
}

TEST(ConvertErrors, AreNamed) {
  const CheckpointCopy checkpoint;
  TemporaryFolder folder;
  ConvertOptions options = conversion(checkpoint.path(), folder / "out", WeightFormat::kF16);
  convert_checkpoint(options);
  EXPECT_NE(error_of([&] { convert_checkpoint(options); }).find("holds files already"),
            std::string::npos);
  options.force = true;
  EXPECT_NO_THROW(convert_checkpoint(options));
  checkpoint.change_weights([](const auto& header, std::string& data) {
    const auto at = header.at("model.layers.0.mlp.up_proj.weight")["data_offsets"][0];
    data[at.template get<std::size_t>() + 1] = '\x7e';  // bf16 of about 1e38
  });
  options.output = folder / "other";
  EXPECT_NE(error_of([&] { convert_checkpoint(options); }).find("beyond 65504"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder / "other"));
  EXPECT_FALSE(fs::exists(folder / "other.partial"));
}

// A small file of our format.
class Damage : public ::testing::Test {
 protected:
  Damage() {
    SafetensorsWriter writer(folder_ / "good",
                             {{"a", DType::kF32, {2, 3}}, {"b", DType::kBF16, {5}}},
                             {{kFormatKey, kFormatVersion}, {"source", "a test"}});
    std::array<std::byte, 34> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(7 * i + 1);
    writer.write(std::span(bytes).first(20));  // in pieces, as a large tensor is
    writer.write(std::span(bytes).subspan(20, 4));
    writer.write(std::span(bytes).subspan(24));
    writer.finish();
    good_ = read_file(folder_ / "good");
    data_begin_ = good_.size() - bytes.size();
  }

  bool is_refused(const std::string& bytes) {
    write_file(folder_ / "damaged", bytes);
    try {
      const auto file = SafetensorsFile::open(folder_ / "damaged");
      for (const TensorView& tensor : file.tensors()) file.check_sum(tensor);
    } catch (const Error&) {
      return true;
    }
    return false;
  }
  std::string flipped(std::size_t bit) const {
    std::string bytes = good_;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    return bytes;
  }

  TemporaryFolder folder_;
  std::string good_;
  std::size_t data_begin_ = 0;
};

TEST_F(Damage, NoneIsNotRefused) {
  EXPECT_FALSE(is_refused(good_));
}

TEST_F(Damage, EveryBitOfTheFileIsSeen) {
  for (std::size_t bit = 0; bit < 8 * good_.size(); ++bit) {
    EXPECT_TRUE(is_refused(flipped(bit))) << "bit " << bit << " of " << 8 * data_begin_;
  }
}

TEST_F(Damage, EveryTruncationIsSeen) {
  for (std::size_t length = 0; length < good_.size(); ++length) {
    EXPECT_TRUE(is_refused(good_.substr(0, length))) << length;
  }
}

TEST_F(Damage, OfNewerVersionIsNamed) {
  SafetensorsWriter writer(folder_ / "newer", {}, {{kFormatKey, "2"}});
  writer.finish();
  EXPECT_NE(error_of([&] { SafetensorsFile::open(folder_ / "newer"); }).find("version \"2\""),
            std::string::npos);
}

// A whole checkpoint: damage to its header and its length is seen when it is opened, to its numbers
// when they are loaded.
class DamagedCheckpoint : public testing::Test {
 protected:
  DamagedCheckpoint() {
    convert_checkpoint(
        conversion(kGoldenTiny / "checkpoint", folder_ / "out", WeightFormat::kBF16));
    good_ = read_file(path_);
    std::uint64_t header = 0;
    std::memcpy(&header, good_.data(), sizeof header);
    data_begin_ = sizeof header + header;
  }

  // Flips one bit of a random byte in [first, end), which `seen` then must throw for.
  template <class Seen>
  void flip(std::size_t first, std::size_t end, const Seen& seen) {
    const std::size_t at = first + random_() % (end - first);
    std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
    const auto put = [&](char byte) {
      file.seekp(static_cast<std::streamoff>(at));
      file.put(byte).flush();
    };
    put(static_cast<char>(good_[at] ^ (1 << (random_() % 8))));
    error_of([&] { seen(at); });
    put(good_[at]);
  }

  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "out" / "model.safetensors";
  std::string good_;
  std::size_t data_begin_ = 0;
  std::mt19937 random_{1};
};

TEST_F(DamagedCheckpoint, FlippedBitsOfTheHeaderAreSeen) {
  for (int i = 0; i < 500; ++i) {
    flip(0, data_begin_, [&](std::size_t) { Checkpoint::open(folder_ / "out"); });
  }
}

TEST_F(DamagedCheckpoint, FlippedBitsOfTheNumbersAreSeen) {
  const auto file = SafetensorsFile::open(path_);
  for (int i = 0; i < 10'000; ++i) {
    flip(data_begin_, good_.size(), [&](std::size_t at) {
      const auto hit = std::ranges::find_if(file.tensors(), [&](const TensorView& tensor) {
        const auto begin =
            static_cast<std::size_t>(tensor.data.data() - file.file().bytes().data());
        return begin <= at && at < begin + tensor.data.size();
      });
      ASSERT_NE(hit, file.tensors().end());
      file.check_sum(*hit);
    });
  }
}

TEST_F(DamagedCheckpoint, TruncationsAreSeen) {
  std::vector<std::size_t> lengths(1'000);
  for (std::size_t& length : lengths) length = random_() % good_.size();
  std::ranges::sort(lengths, std::greater<>());  // each a shorter part of the same file
  for (const std::size_t length : lengths) {
    fs::resize_file(path_, length);
    error_of([&] { Checkpoint::open(folder_ / "out"); });
  }
}

}  // namespace
}  // namespace fvlm
