// Programmatic dependent launch: kernels that read or write too early are found, and ours ask for
// their weights before the previous kernel has ended, and for nothing else.
#include "kernels/emulator/overlap_check.hpp"

#include <gtest/gtest.h>

#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/cuda/gemm/gemm.hpp"
#include "kernels/cuda/gemm/tile_choice.hpp"
#include "kernels/cuda/gemm/token_products.hpp"
#include "tests/kernels/cuda/decoder_fixture.hpp"
#include "tests/kernels/cuda/fixture.hpp"

namespace fvlm {
namespace emulated {
namespace {

enum class Early { kNever, kReads, kWrites };

template <Early kEarly>
__global__ void add(const float* weights, const float* in, float* out) {
  const int i = static_cast<int>(threadIdx.x);
  float sum = load<1>(weights + i)[0];
  if (kEarly == Early::kReads) sum += load<1>(in + i)[0];
  if (kEarly == Early::kWrites) store(out + i, Vec<float, 1>{{0}});
  wait_for_previous_kernel();
  if (kEarly != Early::kReads) sum += load<1>(in + i)[0];
  store(out + i, Vec<float, 1>{{sum}});
}

template <Early kEarly>
std::vector<std::string> problems() {
  std::vector<float> memory(4 * 64);
  Stream<kTarget> stream;
  const Launch how{.block = 32, .stream = stream, .overlap_previous = true};
  float* const weights = memory.data();
  const emulator::OverlapCheck check;
  launch<add<Early::kNever>>(how, weights, weights + 64, weights + 128);
  launch<add<kEarly>>(how, weights, weights + 128, weights + 192);
  stream.synchronize();
  EXPECT_EQ(check.early_kernels().size(), 2U);
  return check.problems();
}

TEST(CudaOverlapCheck, FindsWhatIsDoneTooEarly) {
  EXPECT_TRUE(problems<Early::kNever>().empty());
  const auto reads = problems<Early::kReads>();
  ASSERT_EQ(reads.size(), 1U);
  expect_in_order(reads[0], {"add", "reads what", "add", "writes"});
  const auto writes = problems<Early::kWrites>();
  ASSERT_EQ(writes.size(), 1U);
  expect_in_order(writes[0], {"add", "writes before it waits"});
}

}  // namespace
}  // namespace emulated

namespace {

class CudaOverlap : public CudaDecoderTest<BFloat16Mode<Target::kEmulated>> {
 protected:
  using Check = emulator::OverlapCheck;

  static void expect_early(const Check& check, std::string_view kernel) {
    EXPECT_EQ(check.problems(), std::vector<std::string>());
    bool found = false;
    for (const std::string& early : check.early_kernels()) {
      found |= early.find(kernel) != std::string::npos;
    }
    EXPECT_TRUE(found) << kernel << " reads nothing before it waits";
  }
};

// Each reads what the one before has written.
TEST_F(CudaOverlap, LayersOfTheDecoder) {
  constexpr std::int64_t kWide = 200;
  for (const WeightFormat& format :
       {WeightFormat::kBF16, WeightFormat::int8(64), WeightFormat::int4(64)}) {
    const auto gate_up = matrix(104, 2 * kWide, format);
    const auto down = matrix(kWide, 104, format);
    const auto norm = this->norm(104);
    for (const std::int64_t rows : {8, 20, 150}) {
      const auto x = this->rows(activations(rows * 104), rows);
      const auto hidden = this->rows(nothing(rows * kWide), rows);
      const auto normed = this->rows(nothing(rows * 104), rows);
      each_product([&](const DeviceShape& device, TokenPass pass) {
        SCOPED_TRACE(testing::Message() << name_of(format) << ", " << rows << " rows");
        const Check check;
        const auto scratch = scratch_of(rows, gate_up, normed);
        const auto more_scratch = scratch_of(rows, down);
        for (int layer = 0; layer < 2; ++layer) {
          Token::swiglu(*stream_, device, pass, x, norm.device, gate_up.device, scratch, hidden);
          Token::linear(*stream_, device, pass, hidden, down.device, false, true,
                        more_scratch.split, x);
        }
        stream_->synchronize();
        const bool decodes = pass == TokenPass::kDecode && rows <= Token::kDecodeRows;
        const char* const prompt = format.is_quantised() ? "quantised_product" : "hopper_product";
        expect_early(check, decodes ? "skinny_gemm" : device.major == 9 ? prompt : "tile_product");
      });
    }
  }
}

TEST_F(CudaOverlap, PartsOfTheDepth) {
  constexpr std::int64_t kWide = 2112;
  const emulator::OnDevice large(emulator::kLargeDevice);
  const auto in = this->rows(activations(150 * 72), 150);
  const auto wide = this->rows(nothing(150 * kWide), 150);
  const auto expect = [&](const WeightFormat& format, const DeviceShape& device, int tiles,
                          const char* kernel) {
    const auto up = matrix(72, kWide, format);
    const auto down = matrix(kWide, 72, format);
    const auto split = scratch_of(150, down).split;
    for (int tile = 0; tile < tiles; ++tile) {
      const Check check;
      for (int layer = 0; layer < 2; ++layer) {
        const auto multiply = [&](View<E> from, const Matrix& by, View<E> to) {
          Token::linear(*stream_, device, {TokenPass::kPrefill, tile}, from, by.device, false,
                        false, split, to);
        };
        multiply(in, up, wide);
        multiply(wide, down, in);
      }
      stream_->synchronize();
      expect_early(check, kernel);
    }
  };
  for (const WeightFormat& format :
       {WeightFormat::kBF16, WeightFormat::int8(), WeightFormat::int4(32)}) {
    SCOPED_TRACE(name_of(format));
    expect(format, kHopper, static_cast<int>(kHopperParts.size()),
           format.is_quantised() ? "quantised_product" : "hopper_parts");
    expect(format, kAnywhere, static_cast<int>(std::size(kPartTiles)), "tile_parts");
  }
}

TEST_F(CudaOverlap, LinearLayers) {
  const auto in = this->rows(activations(300 * 72), 300);
  const auto wide = this->rows(nothing(300 * 264), 300);
  const auto fc1 = this->rows(activations(264 * 72), 264);
  const auto fc2 = this->rows(activations(72 * 264), 72);
  const emulator::OnDevice large(emulator::kLargeDevice);
  for (const int major : {8, 9}) {
    for (int tile = 0; tile < 4; ++tile) {
      const Check check;
      const auto multiply = [&](View<E> from, View<E> weight, View<E> residual, View<E> to) {
        LinearKernels<kTarget, E>::multiply(*stream_, {.major = major, .multiprocessors = 3},
                                            {.in = from,
                                             .weight = weight,
                                             .bias = nullptr,
                                             .activation = Activation::kNone,
                                             .residual = residual,
                                             .out = to,
                                             .tile = tile});
      };
      for (int layer = 0; layer < 2; ++layer) {
        multiply(in, fc1, {}, wide);
        multiply(wide, fc2, in, in);
      }
      stream_->synchronize();
      expect_early(check, major == 9 ? "hopper_product" : "tile_product");
    }
  }
}

}  // namespace
}  // namespace fvlm
