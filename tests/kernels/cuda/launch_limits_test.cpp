// Launches that a device refuses are refused in the emulator: by their threads, their blocks, and
// their shared memory, of which static and dynamic objects count together.
#include "tests/kernels/cuda/fixture.hpp"

#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/memory.hpp"
#include "kernels/emulator/device.hpp"

namespace fvlm::emulated {
namespace {

constexpr std::size_t kKilobyte = 1024;
const char* const kNothing = "nothing was thrown";

__global__ void idle() {}

template <std::size_t kStaticBytes>
__global__ void use_shared() {
  struct Shared {
    char bytes[kStaticBytes];
  };
  static_shared<Shared>().bytes[0] = 1;
}

// What is thrown where cudaFuncSetAttribute was not called.
template <auto kernel>
std::string failure_without_opting_in(std::size_t shared_bytes) {
  try {
    const emulator::Grid grid{
        .kernel = "kernel", .blocks = {1, 1, 1}, .threads = 32, .shared_bytes = shared_bytes};
    emulator::run_grid(grid, {.call = [](const void*) { kernel(); }, .data = nullptr});
  } catch (const Error& error) {
    return error.what();
  }
  return kNothing;
}

TEST(LaunchLimits, ThreadsOfABlock) {
  EXPECT_EQ(failure<idle>(1, 1024, 0), kNothing);
  expect_in_order(failure<idle>(1, 1025, 0), {"idle", "1025 threads", "1024"});
  expect_in_order(failure<idle>(1, 0, 0), {"idle", "0 threads"});
}

TEST(LaunchLimits, BlocksOfAGrid) {
  EXPECT_EQ(failure<idle>({1, 65535}, 1, 0), kNothing);
  EXPECT_EQ(failure<idle>({65536}, 1, 0), kNothing);
  expect_in_order(failure<idle>({1, 65536}, 1, 0), {"idle", "1 x 65536 x 1 blocks", "65535"});
  expect_in_order(failure<idle>({1, 1, 65536}, 1, 0), {"idle", "1 x 1 x 65536 blocks", "65535"});
}

TEST(LaunchLimits, SharedMemoryWithoutOptingIn) {
  EXPECT_EQ(failure_without_opting_in<idle>(48 * kKilobyte), kNothing);
  EXPECT_EQ(failure_without_opting_in<use_shared<48 * kKilobyte>>(0), kNothing);
  EXPECT_EQ(failure_without_opting_in<use_shared<136>>(48 * kKilobyte - 136), kNothing);
  expect_in_order(failure_without_opting_in<idle>(48 * kKilobyte + 1),
                  {"kernel", "49153", "cudaFuncSetAttribute", "49152"});
  // What a GPU has refused: see launch.hpp.
  expect_in_order(failure_without_opting_in<use_shared<136>>(48 * kKilobyte),
                  {"kernel", "static_shared", "136 bytes", "49152 that are dynamic", "has 49152"});
}

TEST(LaunchLimits, SharedMemoryOfADevice) {
  const std::size_t small = emulator::kSmallDevice.shared_bytes;
  const std::size_t large = emulator::kLargeDevice.shared_bytes;
  EXPECT_EQ(failure<use_shared<136>>(1, 32, 48 * kKilobyte), kNothing);
  EXPECT_EQ(failure<use_shared<136>>(1, 32, small - 136), kNothing);
  expect_in_order(failure<use_shared<136>>(1, 32, small),
                  {"use_shared", "static_shared", "136 bytes", "has 101376"});
  expect_in_order(failure<idle>(1, 32, small + 1), {"idle", "101377", "101376", "8.6"});
  const emulator::OnDevice device(emulator::kLargeDevice);
  EXPECT_EQ(device_properties<kTarget>().shared_bytes, large);
  EXPECT_EQ(failure<use_shared<136>>(1, 32, large - 136), kNothing);
  expect_in_order(failure<use_shared<136>>(1, 32, large), {"use_shared", "has 232448"});
  expect_in_order(failure<idle>(1, 32, large + 1), {"idle", "232449", "232448", "9.0"});
}

}  // namespace
}  // namespace fvlm::emulated
