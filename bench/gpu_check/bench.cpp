// Speed on the device with random weights of the real sizes: encoder, time to first token and
// decode, each beside the device's roofline.
//   gpu_bench SIZE FORMAT...    e.g. gpu_bench 0.5b bf16 int8 int4
// prints one line of JSON for the roofline and one for each format.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <map>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "bench/gpu_check/gpu_runner.hpp"
#include "bench/gpu_check/random_loader.hpp"
#include "kernels/cuda/host/limits.hpp"
#include "kernels/support/make_error.hpp"
#include "runtime/config/model_sizes.hpp"
#include "runtime/engine/model_work.hpp"

namespace fvlm {
namespace {

using Clock = std::chrono::steady_clock;
using E = BFloat16;

constexpr std::int64_t kTextTokens = 24;  // of a short prompt, around the image
constexpr std::int64_t kSteps = 48;       // of decoding
constexpr std::int64_t kMostSequences = 32;
constexpr std::int64_t kMostImages = 8;

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

class Measurement {
 public:
  explicit Measurement(GpuRunner<E>& runner) : runner_(runner) {
    const std::int64_t side = runner.config().vision.image_size;
    const auto bytes = static_cast<std::size_t>(side * side * 3);
    for (std::int64_t image = 0; image < kMostImages; ++image) {
      const Pixels& pixels = pictures_.emplace_back(runner.pixel_memory(bytes));
      for (std::size_t i = 0; i < bytes; ++i)
        pixels[i] =
            static_cast<std::uint8_t>((i + static_cast<std::size_t>(image)) * 2654435761U >> 24);
    }
    page_numbers_.resize(static_cast<std::size_t>(runner.facts().cache_pages));
    std::iota(page_numbers_.begin(), page_numbers_.end(), 0);
  }

  static std::int64_t pages_each(std::int64_t rows) { return (rows + kSteps) / kPageTokens + 1; }
  std::int64_t rows() const { return runner_.config().vision.tokens() + kTextTokens; }

  // Images that are on the device already.
  double encoder(std::int64_t images) {
    auto& backend = runner_.backend();
    auto& context = runner_.passes().encoder();
    const Arena::Scope scope(context.arena());
    const auto pixels =
        backend.upload(context, pictures(images), runner_.config().vision.image_size);
    return median_seconds(15, [&] {
      runner_.model().embed_images(backend, context, pixels,
                                   runner_.passes().encoded_images(images));
      context.synchronize();
    });
  }

  // From pixels on the host to the first token.
  double first_token() {
    const std::vector<std::int32_t> text(kTextTokens, 1);
    DecoderBatch batch;
    batch.add(rows(), 0, pages(0));
    const PrefillPass prompt{
        .input = {{.image = 0}, {.ids = text}}, .batch = batch, .last_rows = {rows() - 1}};
    return median_seconds(15, [&] {
      runner_.encode(pictures(1), {});
      runner_.prefill(prompt, most_likely(1), {});
    });
  }

  // One decode step of several prefilled sequences.
  double step(std::int64_t sequences) {
    std::vector<std::int32_t> ids(static_cast<std::size_t>(sequences), 1);
    const double seconds = median_seconds(3, [&] {
      for (std::int64_t s = 0; s < kSteps; ++s) {
        DecoderBatch batch;
        for (std::int64_t i = 0; i < sequences; ++i) batch.add(1, rows() + s, pages(i));
        const auto chosen = runner_.decode(ids, batch, most_likely(sequences)).tokens;
        std::copy(chosen.begin(), chosen.end(), ids.begin());
      }
    });
    return seconds / kSteps;
  }

 private:
  std::span<const Pixels> pictures(std::int64_t images) const {
    return std::span(pictures_).first(static_cast<std::size_t>(images));
  }
  std::span<const std::int32_t> pages(std::int64_t sequence) const {
    const std::int64_t each = pages_each(rows());
    return std::span(page_numbers_)
        .subspan(static_cast<std::size_t>(sequence * each), static_cast<std::size_t>(each));
  }
  NextTokens most_likely(std::int64_t rows) const {
    return {.vocabulary = runner_.config().text.vocab_size,
            .sampling = std::span(sampling_).first(static_cast<std::size_t>(rows))};
  }

  GpuRunner<E>& runner_;
  std::vector<Pixels> pictures_;
  std::vector<std::int32_t> page_numbers_;
  std::vector<SamplingParams> sampling_ = std::vector<SamplingParams>(kMostSequences);
};

void measure(const ModelSize& size, const WeightFormat& format, const GpuLimits& limits) {
  const FastVlmConfig config = config_of(size);
  RandomWeights random;
  const std::int64_t rows = config.vision.tokens() + kTextTokens;
  using B = GpuBackend<E>;
  GpuRunner<E> runner(config, B(format),
                      {.images = kMostImages, .prefill_rows = rows, .decode_rows = kMostSequences},
                      kMostSequences * Measurement::pages_each(rows),
                      [&](B& backend, FastVlm<B>& model) {
                        RandomLoader<B> loader(random, format, backend);
                        model.visit(loader);
                      });
  Measurement measurement(runner);
  const ModelWork work =
      model_work(config, rows, format, [](WorkCounter& trace, FastVlm<WorkCounter>& model) {
        ShapesOf<WorkCounter> shapes(trace);
        model.visit(shapes);
      });
  const double encoder = measurement.encoder(1);
  const double encoder8 = measurement.encoder(8);
  const double first = measurement.first_token();
  const double first_limit = (work.encoder.flops + work.prefill.flops) / limits.bf16_flops;
  std::printf(
      "{\"model\": \"%s\", \"format\": \"%s\", \"weight_bytes\": %lld, \"encoder_s\": %.6f, "
      "\"encoder_fraction\": %.3f, \"encoder_8_images_s\": %.6f, \"encoder_8_fraction\": %.3f, "
      "\"ttft_s\": %.6f, \"ttft_limit_s\": %.6f",
      std::string(size.name).c_str(), std::string(name_of(format.type)).c_str(),
      static_cast<long long>(runner.facts().weight_bytes), encoder,
      work.encoder.flops / encoder / limits.bf16_flops, encoder8,
      8 * work.encoder.flops / encoder8 / limits.bf16_flops, first, first_limit);
  for (const std::int64_t sequences : {1, 8, 32}) {
    const double step = measurement.step(sequences);
    std::printf(", \"decode_%lld_tok_s\": %.1f", static_cast<long long>(sequences),
                static_cast<double>(sequences) / step);
    if (sequences == 1) {
      // Half of the copy's bytes are read; reading alone is at least as fast.
      std::printf(", \"decode_1_fraction\": %.3f",
                  work.decode.weight_bytes / step / limits.bandwidth);
    }
  }
  std::printf(", \"graph_launches\": %lld}\n",
              static_cast<long long>(runner.passes().decoder().graph_launches()));
  std::fflush(stdout);
}

int run(std::span<char*> arguments) {
  const std::map<std::string, WeightFormat> formats = {{"bf16", WeightFormat::kBF16},
                                                       {"int8", WeightFormat::int8()},
                                                       {"int4", WeightFormat::int4()}};
  const std::string name = arguments[1];
  const auto size = std::find_if(sizes().begin(), sizes().end(),
                                 [&](const ModelSize& s) { return s.name == name; });
  if (size == sizes().end()) throw make_error("there is no size {}", name);
  const GpuLimits limits = measure_gpu_limits();
  std::printf("{\"device\": \"%s\", \"bf16_flops\": %.4g, \"bandwidth\": %.4g}\n",
              device_properties<Target::kDevice>().name.c_str(), limits.bf16_flops,
              limits.bandwidth);
  for (const char* format : arguments.subspan(2)) {
    const auto found = formats.find(format);
    if (found == formats.end()) throw make_error("there is no format {}", format);
    measure(*size, found->second, limits);
  }
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
