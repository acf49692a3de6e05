// Each matrix product of a model of the real sizes on the device, alone, beside cuBLASLt: what
// `fastvlm bench --kernels` measures, without the packages that fastvlm needs.
//   gpu_kernels SIZE FORMAT...    e.g. gpu_kernels 0.5b bf16 int4
// prints one line of JSON for the roofline and one for each product. Of other formats than the
// first only the decoder's products are measured, which alone differ.
#include <cstdio>
#include <exception>
#include <span>
#include <string>

#include "bench/gemm_bench.hpp"
#include "bench/gpu_check/gpu_passes.hpp"
#include "kernels/cuda/host/limits.hpp"

namespace fvlm {
namespace {

constexpr int kRuns = 5;

int run(std::span<char*> arguments) {
  const ModelSize& size = size_of_name(arguments[1]);
  const FastVlmConfig config = config_of(size);
  const GpuLimits limits = measure_gpu_limits();
  std::string reason;
  const auto library = LibraryGemm::load(reason);
  if (!library) std::fprintf(stderr, "no cuBLASLt: %s\n", reason.c_str());
  std::printf("{\"device\": \"%s\", \"bf16_flops\": %.4g, \"bandwidth\": %.4g}\n",
              device_name<Target::kDevice>(0).c_str(), limits.bf16_flops, limits.bandwidth);
  GemmBench<Target::kDevice, BFloat16> bench(config, 0, kRuns, library.get());
  for (const char* format : arguments.subspan(2)) {
    GemmPasses passes{.prefill_rows = GpuPasses::rows_of(config)};
    if (format != arguments[2]) passes.images.clear();
    const auto products = model_gemms(config, format_of_name(format), passes,
                                      [](GemmCounter& plan, FastVlm<GemmCounter>& model) {
                                        ShapesOf<GemmCounter> shapes(plan);
                                        model.visit(shapes);
                                      });
    for (const ModelGemm& product : products) {
      for (const GemmTime& time : bench.measure(product)) {
        std::printf("%s\n", json_of(time, limits.bf16_flops, limits.bandwidth).c_str());
        std::fflush(stdout);
      }
    }
  }
  return 0;
}

}  // namespace
}  // namespace fvlm

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: gpu_kernels SIZE FORMAT...\n");
    return 2;
  }
  try {
    return fvlm::run({argv, static_cast<std::size_t>(argc)});
  } catch (const std::exception& e) {
    std::fprintf(stderr, "gpu_kernels: %s\n", e.what());
    return 1;
  }
}
