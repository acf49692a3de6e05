// Padding and resizing on the CUDA backend against plain loops over the same filters: every byte.
// That the filters are Pillow's is for image_processor_test.cpp and the goldens to say.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <optional>
#include <random>
#include <vector>

#include "kernels/cuda/cuda.hpp"
#include "tests/cuda_modes.hpp"

namespace fvlm {
namespace {

using Bytes = std::vector<std::uint8_t>;

std::uint8_t weighted(const ResizeAxis& axis, std::int64_t output, const std::uint8_t* from,
                      std::int64_t step) {
  const Taps taps = axis.taps[static_cast<std::size_t>(output)];
  std::int64_t sum = std::int64_t{1} << (kWeightFractionBits - 1);
  for (std::int64_t k = 0; k < taps.count; ++k)
    sum += std::int64_t{from[(taps.first + k) * step]} * axis.weights_of(output)[k];
  return static_cast<std::uint8_t>(std::clamp<std::int64_t>(sum >> kWeightFractionBits, 0, 255));
}

Bytes plain_resize(const Bytes& picture, std::int64_t width, std::int64_t height,
                   std::int64_t size) {
  const ResizePlan plan(width, height, size);
  Bytes rows(static_cast<std::size_t>(height * size * 3));
  Bytes out(static_cast<std::size_t>(size * size * 3));
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t i = plan.horizontal.begin * 3; i < plan.horizontal.end * 3; ++i) {
      rows[static_cast<std::size_t>(y * size * 3 + i)] =
          weighted(plan.horizontal, i / 3, picture.data() + y * width * 3 + i % 3, 3);
    }
  }
  for (std::int64_t y = plan.vertical.begin; y < plan.vertical.end; ++y) {
    for (std::int64_t i = plan.horizontal.begin * 3; i < plan.horizontal.end * 3; ++i)
      out[static_cast<std::size_t>(y * size * 3 + i)] =
          weighted(plan.vertical, y, rows.data() + i, size * 3);
  }
  return out;
}

template <class Mode>
class CudaResize : public testing::Test {
 protected:
  void SetUp() override {
    if (device_count<Mode::kTarget>() == 0) GTEST_SKIP() << "no CUDA device";
    backend_.emplace(WeightFormat::kBF16);
  }

  std::optional<CudaBackend<Mode::kTarget, BFloat16>> backend_;
};
using ResizeModes = ForTargets<BFloat16Mode>;
TYPED_TEST_SUITE(CudaResize, ResizeModes, CudaModeName);

TYPED_TEST(CudaResize, EveryByte) {
  std::mt19937 random(5);
  // width, height, size: smaller, larger, as they are; thin ones; a block's threads and their edges
  for (const auto& [width, height, size] :
       std::vector<std::array<std::int64_t, 3>>{{90, 61, 64},
                                                {33, 70, 64},
                                                {20, 31, 96},
                                                {64, 64, 64},
                                                {64, 40, 64},
                                                {1, 1, 16},
                                                {300, 2, 48},
                                                {3, 257, 48},
                                                {400, 300, 257}}) {
    SCOPED_TRACE(testing::Message() << width << " x " << height << " to " << size);
    Bytes picture(static_cast<std::size_t>(width * height * 3));
    // Whole blocks of black and white beside noise, so that sums leave 0..255 and are clipped.
    for (std::size_t i = 0; i < picture.size(); ++i)
      picture[i] = static_cast<std::uint8_t>(i / 37 % 3 == 0   ? 255
                                             : i / 37 % 3 == 1 ? 0
                                                               : random());
    Bytes out(static_cast<std::size_t>(size * size * 3), 77);
    this->backend_->resize({picture.data(), 1, height, width, 3}, ResizePlan(width, height, size),
                           out);
    EXPECT_TRUE(out == plain_resize(picture, width, height, size));
  }
}

}  // namespace
}  // namespace fvlm
