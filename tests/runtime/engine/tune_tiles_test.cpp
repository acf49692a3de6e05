// The encoder with a remembered table of tiles, in the emulator: other kernels, the same bits.
#include "runtime/engine/tune_tiles.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
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

  struct Encoded {
    std::vector<float> embeddings;
    std::vector<std::string> kernels;
  };
  Encoded encode(bool tuning) const {
    const auto runner = load_runner(checkpoint_, {.device = Device::kCudaEmulated,
                                                  .tuning = tuning,
                                                  .precision = Precision::kBF16,
                                                  .cache_tokens = kPageTokens});
    const std::int64_t side = runner->config().vision.image_size;
    const auto bytes = static_cast<std::size_t>(side * side * 3);
    const Pixels pixels = runner->pixel_memory(bytes);
    for (std::size_t i = 0; i < bytes; ++i) {
      pixels[i] = static_cast<std::uint8_t>(i * 2654435761U >> 24);
    }
    Encoded encoded;
    const LaunchLog log;
    runner->encode_observed(pixels, [&](std::string_view name, FeatureMap<const float> map) {
      if (name != "embeddings") return;
      encoded.embeddings.assign(map.data, map.data + map.elements());
    });
    encoded.kernels = log.kernels();
    return encoded;
  }
  // For this program and the emulated device that is current.
  TuningIdentity identity() const {
    TuningIdentity identity = EmulatedBackend(WeightFormat::kBF16).tuning_identity();
    identity.program = tuning_version();
    return identity;
  }
  // Another tile than the rule's for each GEMM.
  TileTable other_tiles() const {
    const EmulatedBackend backend(WeightFormat::kBF16);
    const DeviceShape device = backend.device_shape();
    TileTable table;
    for (const GemmKey& key : tunable_gemms(backend, checkpoint_.config(), 1)) {
      const int tiles = tile_count(device.major, key.m, key.n);
      if (tiles == 0) continue;
      const int rule = device.major == 9
                           ? best_hopper_tile(key.m, key.n, device.multiprocessors)
                           : static_cast<int>(best_tile(key.m, key.n, device.multiprocessors));
      table[key] = (rule + 1) % tiles;
    }
    return table;
  }

  TemporaryFolder folder_{};
  Checkpoint checkpoint_ =
      Checkpoint::open(std::filesystem::path(FVLM_TEST_DATA) / "golden" / "tiny" / "checkpoint");
};

TEST_F(TunedTiles, GiveTheSameBits) {
  for (const emulator::Device* device : {&emulator::kSmallDevice, &emulator::kLargeDevice}) {
    SCOPED_TRACE(device->name);
    const emulator::OnDevice on(*device);
    const TileTable table = other_tiles();
    ASSERT_GT(table.size(), 3U);
    ASSERT_TRUE(save_tuning(tuning_file(identity()), identity(), table));
    const Encoded by_rule = encode(false);
    const Encoded tuned = encode(true);
    ASSERT_EQ(tuned.kernels.size(), by_rule.kernels.size());
    std::size_t others = 0;
    for (std::size_t i = 0; i < tuned.kernels.size(); ++i) {
      others += tuned.kernels[i] != by_rule.kernels[i] ? 1 : 0;
    }
    EXPECT_GE(others, table.size()) << "the table was not used";
    EXPECT_EQ(tuned.embeddings, by_rule.embeddings);
  }
}

TEST_F(TunedTiles, TheEmulatorMeasuresAndWritesNothing) {
  const Encoded tuned = encode(true);
  EXPECT_EQ(tuned.kernels, encode(false).kernels);
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(TunedTiles, CommonSizesOfPassesAreMeasuredFirst) {
  const EmulatedBackend backend(WeightFormat::kBF16);
  const auto alone = tunable_gemms(backend, checkpoint_.config(), 1);
  const auto all = tunable_gemms(backend, checkpoint_.config(), 32);
  ASSERT_GT(alone.size(), 3U);
  EXPECT_EQ(all.size(), 6 * alone.size());
  EXPECT_TRUE(std::equal(alone.begin(), alone.end(), all.begin()));
  EXPECT_EQ(all[alone.size()].m, 8 * alone[0].m);
}

// On a device this is what measures; here it shows that each GEMM fits into the scratch memory.
TEST_F(TunedTiles, CanBeTimed) {
  EmulatedBackend backend(WeightFormat::kBF16);
  auto context = backend.make_context({.scratch_bytes = std::size_t{1} << 20});
  const TileTimer<Target::kEmulated> timer(context.stream(), context.arena(),
                                           static_cast<std::int64_t>(context.scratch_bytes()),
                                           backend.device_shape());
  const GemmKey small{64, 64, 64, true, true};
  for (int tile = 0; tile < 4; ++tile) EXPECT_LT(timer.seconds(small, tile), 60);
  EXPECT_EQ(context.arena().used(), 0U);
  EXPECT_GT(timer.seconds({1 << 20, 64, 64, false, false}, 0), 1e30) << "does not fit";
}

}  // namespace
}  // namespace fvlm
