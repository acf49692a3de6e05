// Speed on the device with random weights of the real sizes: encoder, time to first token and
// decode, each beside the device's roofline.
//   gpu_bench SIZE FORMAT...    e.g. gpu_bench 0.5b bf16 int8 int4
// prints one line of JSON for the roofline and one for each format.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <span>
#include <string>
#include <vector>

#include "bench/gpu_check/gpu_passes.hpp"
#include "kernels/cuda/host/limits.hpp"
#include "runtime/engine/model_work.hpp"

namespace fvlm {
namespace {

using Clock = std::chrono::steady_clock;

// Median seconds of some runs, after two that warm up and capture the CUDA graph.
template <class Work>
double median_seconds(int runs, const Work& work) {
  std::vector<double> seconds;
  for (int run = -3; run < runs; ++run) {
    const auto start = Clock::now();
    work();
    if (run >= 0) seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + runs / 2, seconds.end());
  return seconds[static_cast<std::size_t>(runs / 2)];
}

// Images that are on the device already.
double encoder_seconds(GpuPasses& passes, std::int64_t images) {
  auto& runner = passes.runner();
  auto& backend = runner.backend();
  auto& context = runner.passes().encoder();
  const Arena::Scope scope(context.arena());
  const auto pixels =
      backend.upload(context, passes.pictures(images), runner.config().vision.image_size);
  return median_seconds(15, [&] {
    runner.model().embed_images(backend, context, pixels, runner.passes().encoded_images(images));
    context.synchronize();
  });
}

// From pixels on the host to the first token.
double first_token_seconds(GpuPasses& passes) {
  return median_seconds(15, [&] {
    passes.encode(1);
    passes.prefill();
  });
}

// One decode step of several prefilled sequences.
double step_seconds(GpuPasses& passes, std::int64_t sequences) {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(sequences), 1);
  const double seconds = median_seconds(3, [&] {
    for (std::int64_t s = 0; s < GpuPasses::kSteps; ++s) passes.decode(ids, s);
  });
  return seconds / GpuPasses::kSteps;
}

void measure(const ModelSize& size, const WeightFormat& format, const GpuLimits& limits) {
  const FastVlmConfig config = config_of(size);
  const std::int64_t rows = GpuPasses::rows_of(config);
  GpuPasses passes(config, format);
  const ModelWork work =
      model_work(config, rows, format, [](WorkCounter& trace, FastVlm<WorkCounter>& model) {
        ShapesOf<WorkCounter> shapes(trace);
        model.visit(shapes);
      });
  const double encoder = encoder_seconds(passes, 1);
  const double encoder8 = encoder_seconds(passes, 8);
  const double first = first_token_seconds(passes);
  const double first_limit = (work.encoder.flops + work.prefill.flops) / limits.bf16_flops;
  std::printf(
      "{\"model\": \"%s\", \"format\": \"%s\", \"weight_bytes\": %lld, \"encoder_s\": %.6f, "
      "\"encoder_fraction\": %.3f, \"encoder_8_images_s\": %.6f, \"encoder_8_fraction\": %.3f, "
      "\"ttft_s\": %.6f, \"ttft_limit_s\": %.6f",
      std::string(size.name).c_str(), std::string(name_of(format.type)).c_str(),
      static_cast<long long>(passes.runner().facts().weight_bytes), encoder,
      work.encoder.flops / encoder / limits.bf16_flops, encoder8,
      8 * work.encoder.flops / encoder8 / limits.bf16_flops, first, first_limit);
  for (const std::int64_t sequences : {1, 8, 32}) {
    const double step = step_seconds(passes, sequences);
    std::printf(", \"decode_%lld_tok_s\": %.1f", static_cast<long long>(sequences),
                static_cast<double>(sequences) / step);
    if (sequences == 1) {
      // Half of the copy's bytes are read; reading alone is at least as fast.
      std::printf(", \"decode_1_fraction\": %.3f",
                  work.decode.weight_bytes / step / limits.bandwidth);
    }
  }
  std::printf(", \"graph_launches\": %lld}\n",
              static_cast<long long>(passes.runner().passes().decoder().graph_launches()));
  std::fflush(stdout);
}

int run(std::span<char*> arguments) {
  const ModelSize& size = size_of_name(arguments[1]);
  const GpuLimits limits = measure_gpu_limits();
  std::printf("{\"device\": \"%s\", \"bf16_flops\": %.4g, \"bandwidth\": %.4g}\n",
              device_properties<Target::kDevice>().name.c_str(), limits.bf16_flops,
              limits.bandwidth);
  for (const char* format : arguments.subspan(2)) measure(size, format_of_name(format), limits);
  return 0;
}

}  // namespace
}  // namespace fvlm

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: gpu_bench SIZE FORMAT...\n");
    return 2;
  }
  try {
    if (fvlm::device_count<fvlm::Target::kDevice>() == 0) {
      throw fvlm::Error("there is no CUDA device, or no driver for it");
    }
    return fvlm::run({argv, static_cast<std::size_t>(argc)});
  } catch (const std::exception& e) {
    std::fprintf(stderr, "gpu_bench: %s\n", e.what());
    return 1;
  }
}
