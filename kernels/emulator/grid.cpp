// A grid's blocks, each run to its end: they must not wait for each other, as they must not on a
// device. The calling thread begins alone, and other cores join in what takes longer: most launches
// of a test are shorter than waking threads is on a busy machine.
#include <chrono>
#include <cstdint>

#include "kernels/emulator/block.hpp"
#include "kernels/support/make_error.hpp"
#include "kernels/support/thread_team.hpp"

namespace fvlm::emulator {
namespace {

void check_limits(const Grid& grid) {
  if (grid.threads == 0 || grid.threads > kMaxThreads) {
    throw make_error("{}: a block of {} threads; {} are possible", grid.kernel, grid.threads,
                     kMaxThreads);
  }
  if (grid.blocks.x > kMaxBlocksX || grid.blocks.y > kMaxBlocksYZ || grid.blocks.z > kMaxBlocksYZ) {
    throw make_error("{}: {} x {} x {} blocks; {}, {} and {} are possible", grid.kernel,
                     grid.blocks.x, grid.blocks.y, grid.blocks.z, kMaxBlocksX, kMaxBlocksYZ,
                     kMaxBlocksYZ);
  }
  const Device& device = *current_device;
  if (grid.opted_in_bytes > device.shared_bytes) {
    throw make_error("{}: {} bytes of dynamic shared memory; a block has {} on {}", grid.kernel,
                     grid.opted_in_bytes, device.shared_bytes, device.name);
  }
  const std::size_t allowed = grid.opted_in_bytes > 0 ? grid.opted_in_bytes : kDefaultSharedBytes;
  if (grid.shared_bytes > allowed) {
    throw make_error("{}: {} bytes of dynamic shared memory; cudaFuncSetAttribute has allowed {}",
                     grid.kernel, grid.shared_bytes, allowed);
  }
}

}  // namespace

void run_grid(const Grid& grid, Body body) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds kAlone(2);
  check_limits(grid);
  const Index3& size = grid.blocks;
  const auto blocks = static_cast<std::int64_t>(std::uint64_t{size.x} * size.y * size.z);
  const auto run = [&](std::int64_t b) {
    const auto x = static_cast<unsigned>(b % size.x);
    const auto y = static_cast<unsigned>(b / size.x % size.y);
    const auto z = static_cast<unsigned>(b / size.x / size.y);
    Block::run(grid, {x, y, z}, body);
  };
  std::int64_t first = 0;
  for (const auto start = Clock::now(); first < blocks && Clock::now() - start < kAlone; ++first) {
    run(first);
  }
  ThreadTeam::all().for_each(blocks - first, [&](std::int64_t i) { run(first + i); });
  if (OverlapCheck* const check = OverlapCheck::current()) check->end_launch(grid.kernel);
}

}  // namespace fvlm::emulator
