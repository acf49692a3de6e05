// The names under which benchmarks show kernels.
#include "kernels/cuda/primitives/launch_log.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/kernels/cuda/fixture.hpp"

namespace fvlm::emulated {
namespace {

TEST(LaunchLog, NamesAreShort) {
  EXPECT_EQ(short_kernel_name("add"), "add");
  EXPECT_EQ(short_kernel_name("fvlm::device::skinny_gemm<fvlm::WeightType::kBF16, 8>"),
            "skinny_gemm<kBF16, 8>");
  EXPECT_EQ(short_kernel_name("{anonymous}::rms_norm<fvlm::BFloat16>"), "rms_norm<BFloat16>");
  EXPECT_EQ(short_kernel_name("fvlm::device::(anonymous namespace)::embed<float>"), "embed<float>");
  EXPECT_EQ(short_kernel_name("tile_product<fvlm::device::TileShape<128, 64, 32>, "
                              "fvlm::device::RowOperand<fvlm::BFloat16, true>, "
                              "fvlm::device::StoreRows<fvlm::BFloat16> >"),
            "tile_product<TileShape<128, 64, 32>>");
}

__global__ void first(int* at) {
  *at += 1;
}
template <int kStep>
__global__ void second(int* at) {
  *at += kStep;
}

TEST(LaunchLog, HearsOfLaunchesWhileItLives) {
  int at = 0;
  run<first>(1, 1, 0, &at);
  {
    const LaunchLog outer;
    {
      const LaunchLog log;
      run<first>(1, 1, 0, &at);
      run<second<3>>(1, 1, 0, &at);
      run<first>(0, 1, 0, &at);  // nothing to launch
      ASSERT_EQ(log.kernels().size(), 2U);
      EXPECT_EQ(short_kernel_name(log.kernels()[0]), "first");
      EXPECT_EQ(short_kernel_name(log.kernels()[1]), "second<3>");
    }
    EXPECT_TRUE(outer.kernels().empty());
    EXPECT_TRUE(LaunchLog::is_on());
  }
  EXPECT_FALSE(LaunchLog::is_on());
  EXPECT_EQ(at, 5);
}

}  // namespace
}  // namespace fvlm::emulated
