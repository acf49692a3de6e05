// launch<kernel>(Launch{...}, arguments...): a kernel over a grid, on a stream, on a device and in
// the emulator. The kernel is a template argument, so that messages can name it; arguments are
// converted to its parameters like those of any function. Throws an Error that names the kernel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "kernels/cuda/primitives/launch_log.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/stream.hpp"

#ifndef __CUDACC__
#include <tuple>

#include "kernels/emulator/queue.hpp"
#endif

namespace fvlm::FVLM_CUDA_TARGET {

// So many blocks.
struct Extent {
  std::int64_t x = 1;
  std::int64_t y = 1;
  std::int64_t z = 1;

  Extent() = default;
  Extent(std::int64_t along_x, std::int64_t along_y = 1, std::int64_t along_z = 1)  // NOLINT
      : x(along_x), y(along_y), z(along_z) {}
};

struct Launch {
  Extent grid{};           // empty: nothing is done
  std::int64_t block = 1;  // threads
  std::size_t shared_bytes = 0;
  Stream<kTarget>& stream;
  // Programmatic dependent launch: the kernel may begin before the previous one on the stream has
  // ended, and calls wait_for_previous_kernel() before it reads or writes what that one writes.
  bool overlap_previous = false;
};

namespace detail {

// What cudaFuncSetAttribute asks for before the launch. Without it a block has 48 KB, of which
// static objects take a part that the host does not know; so whatever is dynamic is asked for.
inline std::size_t opted_in_bytes(const Launch& launch) {
  return launch.shared_bytes;
}

// "add<float>", from what the compiler says of this function.
template <auto kernel>
std::string_view kernel_name() {
  std::string_view name = __PRETTY_FUNCTION__;
  name.remove_prefix(name.find("kernel = ") + std::string_view("kernel = ").size());
  name = name.substr(0, name.find_first_of(";]"));
  const std::string_view target = kTarget == Target::kDevice ? "::device::" : "::emulated::";
  if (const auto at = name.find(target); at != std::string_view::npos) {
    name.remove_prefix(at + target.size());
  }
  return name;
}

template <auto kernel>
struct Launcher;

#ifdef __CUDACC__

template <class... Parameters, void (*kernel)(Parameters...)>
struct Launcher<kernel> {
  static void run(const Launch& launch, Parameters... parameters) {
    const auto dimensions = [](const Extent& extent) {
      return dim3(static_cast<unsigned>(extent.x), static_cast<unsigned>(extent.y),
                  static_cast<unsigned>(extent.z));
    };
    cudaLaunchAttribute overlap{};
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = dimensions(launch.grid);
    config.blockDim = static_cast<unsigned>(launch.block);
    config.dynamicSmemBytes = launch.shared_bytes;
    config.stream = launch.stream.handle();
    config.attrs = &overlap;
    config.numAttrs = launch.overlap_previous && device_overlaps_kernels() ? 1 : 0;
    if (const std::size_t bytes = opted_in_bytes(launch); bytes > 0) {
      check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(bytes)),
            "cudaFuncSetAttribute");
    }
    check(cudaLaunchKernelEx(&config, kernel, parameters...), "cudaLaunchKernelEx");
  }
  static void check(cudaError_t status, const char* call) {
    if (status != cudaSuccess) fail_launch(kernel_name<kernel>(), call, status);
  }
};

#else

template <class... Parameters, void (*kernel)(Parameters...)>
struct Launcher<kernel> {
  static void run(const Launch& launch, Parameters... parameters) {
    const auto dimensions = [](const Extent& extent) {
      return emulator::Index3{static_cast<unsigned>(extent.x), static_cast<unsigned>(extent.y),
                              static_cast<unsigned>(extent.z)};
    };
    const emulator::Grid grid{.kernel = kernel_name<kernel>(),
                              .blocks = dimensions(launch.grid),
                              .threads = static_cast<unsigned>(launch.block),
                              .shared_bytes = launch.shared_bytes,
                              .opted_in_bytes = opted_in_bytes(launch),
                              .must_wait = launch.overlap_previous};
    launch.stream.handle()->submit([grid, arguments = std::tuple<Parameters...>(parameters...)] {
      const auto call = [](const void* data) {
        std::apply(kernel, *static_cast<const std::tuple<Parameters...>*>(data));
      };
      emulator::run_grid(grid, {.call = call, .data = &arguments});
    });
  }
};

#endif

}  // namespace detail

template <auto kernel, class... Arguments>
void launch(const Launch& how, Arguments&&... arguments) {
  const Extent& grid = how.grid;
  if (grid.x <= 0 || grid.y <= 0 || grid.z <= 0) return;
  if (LaunchLog::is_on()) LaunchLog::add(detail::kernel_name<kernel>());
  detail::Launcher<kernel>::run(how, std::forward<Arguments>(arguments)...);
}

}  // namespace fvlm::FVLM_CUDA_TARGET
