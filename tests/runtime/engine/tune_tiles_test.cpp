// Passes with a remembered table of tiles, in the emulator: other kernels, the same bits.
#include "runtime/engine/tune_tiles.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/primitives/launch_log.hpp"
#include "kernels/emulator/device.hpp"
#include "runtime/engine/load_runner.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fvlm {
namespace {

using EmulatedBackend = CudaBackend<Target::kEmulated, BFloat16>;

class TunedTiles : public testing::Test {
 protected:
  TunedTiles() { ::setenv("CACHE_DIRECTORY", folder_.path().c_str(), 1); }
  ~TunedTiles() override { ::unsetenv("CACHE_DIRECTORY"); }

  struct Result {
    std::vector<float> values;
    std::vector<std::string> kernels;
  };
  std::unique_ptr<ModelRunner> load(bool tuning, Precision precision = Precision::kBF16) const {
    return load_runner(checkpoint_, {.device = Device::kCudaEmulated,
                                     .tuning = tuning,
                                     .precision = precision,
                                     .cache_tokens = kPageTokens});
  }
  Result encode(bool tuning) const {
    const auto runner = load(tuning);
    const std::int64_t side = runner->config().vision.image_size;
    const auto bytes = static_cast<std::size_t>(side * side * 3);
    const Pixels pixels = runner->pixel_memory(bytes);
    for (std::size_t i = 0; i < bytes; ++i) {
      pixels[i] = static_cast<std::uint8_t>(i * 2654435761U >> 24);
    }
    Result encoded;
    const LaunchLog log;
    runner->encode_observed(pixels, [&](std::string_view name, FeatureMap<const float> map) {
      if (name != "embeddings") return;
      encoded.values.assign(map.data, map.data + map.elements());
    });
    encoded.kernels = log.kernels();
    return encoded;
  }
  // The logits after a prompt.
  Result prefill(bool tuning, Precision precision) const {
    const auto runner = load(tuning, precision);
    const std::vector<std::int32_t> text(40, 5);
    const std::vector<std::int32_t> pages = {0};
    PrefillPass prompt{.input = {{.ids = text}}, .batch = {}, .last_rows = {39}};
    prompt.batch.add(std::ssize(text), 0, pages);
    const LaunchLog log;
    const View<float> logits =
        runner->prefill(prompt, {.vocabulary = runner->config().text.vocab_size}, {}).logits;
    return {{logits.data, logits.data + logits.cols}, log.kernels()};
  }
  // For this program and the emulated device that is current.
  TuningIdentity identity() const {
    TuningIdentity identity = EmulatedBackend(WeightFormat::kBF16).tuning_identity();
    identity.program = tuning_version();
    return identity;
  }
  std::vector<GemmKey> gemms(const EmulatedBackend& backend, std::int64_t images = 1) const {
    return tunable_gemms(backend, checkpoint_, {.images = images, .prefill_rows = 4096});
  }
  // Remembers the tile of this index for each GEMM, or the last. How many there are.
  std::int64_t remember(int tile, const FormatChoice& formats) const {
    const EmulatedBackend backend(formats);
    TileTable table;
    for (const GemmKey& key : gemms(backend)) {
      const int tiles = tile_count(backend.device_shape().major, key);
      if (tiles > 0) table[key] = std::min(tile, tiles - 1);
    }
    EXPECT_TRUE(save_tuning(tuning_file(identity()), identity(), table));
    return std::ssize(table);
  }
  // Runs run(tuning) with each of three tiles and without: the same values by kernels of as many
  // kinds; those that are other ones than the rule's.
  template <class Run>
  std::size_t others_with_the_same_bits(const FormatChoice& formats, const Run& run) const {
    constexpr int kTiles = 3;
    const Result by_rule = run(false);
    std::size_t others = 0;
    for (int tile = 0; tile < kTiles; ++tile) {
      SCOPED_TRACE(tile);
      EXPECT_GT(remember(tile, formats), 3);
      const Result tuned = run(true);
      EXPECT_EQ(tuned.values, by_rule.values);
      EXPECT_EQ(tuned.kernels.size(), by_rule.kernels.size());
      for (std::size_t i = 0; i < std::min(tuned.kernels.size(), by_rule.kernels.size()); ++i) {
        others += tuned.kernels[i] != by_rule.kernels[i] ? 1 : 0;
      }
    }
    return others;
  }

  TemporaryFolder folder_{};
  Checkpoint checkpoint_ =
      Checkpoint::open(std::filesystem::path(FVLM_TEST_DATA) / "golden" / "tiny" / "checkpoint");
};

TEST_F(TunedTiles, GiveTheSameBitsInTheEncoder) {
  for (const emulator::Device* device : {&emulator::kSmallDevice, &emulator::kLargeDevice}) {
    SCOPED_TRACE(device->name);
    const emulator::OnDevice on(*device);
    EXPECT_GT(
        others_with_the_same_bits(WeightFormat::kBF16, [&](bool tuning) { return encode(tuning); }),
        10U);
  }
}

// Of each layer four GEMMs, with two or more tiles that are not the rule's.
TEST_F(TunedTiles, GiveTheSameBitsInPrefill) {
  const auto layers = static_cast<std::size_t>(checkpoint_.config().text.layers);
  for (const emulator::Device* device : {&emulator::kSmallDevice, &emulator::kLargeDevice}) {
    for (const Precision precision : {Precision::kBF16, Precision::kInt8, Precision::kInt4}) {
      SCOPED_TRACE(testing::Message() << device->name << ", " << static_cast<int>(precision));
      const emulator::OnDevice on(*device);
      EXPECT_GE(others_with_the_same_bits(format_choice(precision),
                                          [&](bool tuning) { return prefill(tuning, precision); }),
                layers * 4);
    }
  }
}

TEST_F(TunedTiles, TheEmulatorMeasuresAndWritesNothing) {
  const Result tuned = encode(true);
  EXPECT_EQ(tuned.kernels, encode(false).kernels);
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(TunedTiles, CommonSizesOfPassesAreMeasuredFirst) {
  const EmulatedBackend backend(WeightFormat::kBF16);
  const auto alone = gemms(backend);
  const auto all = gemms(backend, 32);
  ASSERT_GT(alone.size(), 8U);
  EXPECT_TRUE(std::equal(alone.begin(), alone.end(), all.begin()));
  EXPECT_EQ(all[alone.size()].m, 8 * alone[0].m);
  // The encoder's of one image, then its prompt's, then a question's.
  using Kind = GemmKey::Kind;
  const auto qkv = [](const GemmKey& key) { return key.kind == Kind::kAttentionInput; };
  const auto prompt = std::find_if(alone.begin(), alone.end(), qkv);
  const auto question = std::find_if(prompt + 1, alone.end(), qkv);
  ASSERT_NE(question, alone.end());
  EXPECT_EQ(prompt->m, counted_rows(checkpoint_.config().vision.tokens() + kPromptRows));
  EXPECT_EQ(question->m, 64);
  EXPECT_EQ(std::count_if(all.begin(), all.end(), qkv), 7);
}

TEST_F(TunedTiles, AreNotKeptForPassesThatAreTooLarge) {
  const EmulatedBackend backend(WeightFormat::kBF16);
  for (const GemmKey& key :
       tunable_gemms(backend, checkpoint_, {.images = 32, .prefill_rows = 100})) {
    EXPECT_TRUE(!key.has_pairs() || key.m <= 128);
  }
}

// On a device this is what measures; here it shows that each GEMM fits into the scratch memory.
TEST_F(TunedTiles, CanBeTimed) {
  auto context =
      EmulatedBackend(WeightFormat::kBF16).make_context({.scratch_bytes = std::size_t{1} << 20});
  using Kind = GemmKey::Kind;
  using enum WeightFormat::Type;
  for (const emulator::Device* device : {&emulator::kSmallDevice, &emulator::kLargeDevice}) {
    const emulator::OnDevice on(*device);
    EmulatedBackend backend(WeightFormat::kBF16);
    const TileTimer<Target::kEmulated> timer(context.stream(), context.arena(),
                                             static_cast<std::int64_t>(context.scratch_bytes()),
                                             backend.device_shape(), 64);
    for (const Kind kind :
         {Kind::kPositions, Kind::kTokens, Kind::kSwiglu, Kind::kAttentionInput}) {
      for (const WeightFormat::Type type : {kBF16, kInt8, kInt4}) {
        if (kind == Kind::kPositions && type != kBF16) continue;
        const GemmKey small{64, 192, 64, !GemmKey{.kind = kind}.has_pairs(), false, kind, type};
        const int tiles = tile_count(backend.device_shape().major, small);
        EXPECT_GT(tiles, 1);
        for (int tile = 0; tile < tiles; ++tile) EXPECT_LT(timer.seconds(small, tile), 60);
      }
    }
  }
  EXPECT_EQ(context.arena().used(), 0U);
  const TileTimer<Target::kEmulated> timer(context.stream(), context.arena(),
                                           static_cast<std::int64_t>(context.scratch_bytes()),
                                           {.major = 8}, 64);
  EXPECT_GT(timer.seconds({1 << 20, 64, 64, false, false}, 0), 1e30) << "does not fit";
}

}  // namespace
}  // namespace fvlm
