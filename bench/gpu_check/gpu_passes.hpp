// The passes of a model with random weights of the real sizes on the device, as the engine runs
// them: for programs that time or profile them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bench/gpu_check/gpu_runner.hpp"
#include "bench/gpu_check/random_loader.hpp"
#include "kernels/support/make_error.hpp"
#include "runtime/config/model_sizes.hpp"

namespace fvlm {

inline const ModelSize& size_of_name(std::string_view name) {
  for (const ModelSize& size : sizes()) {
    if (size.name == name) return size;
  }
  throw make_error("there is no size {}", name);
}

inline WeightFormat format_of_name(const std::string& name) {
  const std::map<std::string, WeightFormat> formats = {{"bf16", WeightFormat::kBF16},
                                                       {"int8", WeightFormat::int8()},
                                                       {"int4", WeightFormat::int4()}};
  const auto found = formats.find(name);
  if (found == formats.end()) throw make_error("there is no format {}", name);
  return found->second;
}

class GpuPasses {
  using B = GpuBackend<BFloat16>;

 public:
  static constexpr std::int64_t kTextTokens = 24;  // of a short prompt, around the image
  static constexpr std::int64_t kSteps = 48;       // of decoding, at most
  static constexpr std::int64_t kMostSequences = 32;
  static constexpr std::int64_t kMostImages = 8;

  GpuPasses(const FastVlmConfig& config, const WeightFormat& format)
      : runner_(
            config, B(format),
            {.images = kMostImages, .prefill_rows = rows_of(config), .decode_rows = kMostSequences},
            kMostSequences * pages_each(rows_of(config)), [&](B& backend, FastVlm<B>& model) {
              RandomWeights random;
              RandomLoader<B> loader(random, format, backend);
              model.visit(loader);
            }) {
    const std::int64_t side = runner_.config().vision.image_size;
    const auto bytes = static_cast<std::size_t>(side * side * 3);
    for (std::int64_t image = 0; image < kMostImages; ++image) {
      const Pixels& pixels = pictures_.emplace_back(runner_.pixel_memory(bytes));
      for (std::size_t i = 0; i < bytes; ++i) {
        pixels[i] =
            static_cast<std::uint8_t>((i + static_cast<std::size_t>(image)) * 2654435761U >> 24);
      }
    }
    page_numbers_.resize(static_cast<std::size_t>(runner_.facts().cache_pages));
    std::iota(page_numbers_.begin(), page_numbers_.end(), 0);
  }

  // Of a prompt with one image.
  static std::int64_t rows_of(const FastVlmConfig& config) {
    return config.vision.tokens() + kTextTokens;
  }
  GpuRunner<BFloat16>& runner() { return runner_; }
  std::span<const Pixels> pictures(std::int64_t images) const {
    return std::span(pictures_).first(static_cast<std::size_t>(images));
  }

  // From pixels on the host; returns before the device is done.
  void encode(std::int64_t images) { runner_.encode(pictures(images), {}); }
  void prefill() {
    const std::vector<std::int32_t> text(kTextTokens, 1);
    DecoderBatch batch;
    batch.add(rows(), 0, pages(0));
    const PrefillPass prompt{
        .input = {{.image = 0}, {.ids = text}}, .batch = batch, .last_rows = {rows() - 1}};
    runner_.prefill(prompt, most_likely(1), {});
  }
  // Step `step` of as many sequences as there are ids, which become the next ones.
  void decode(std::span<std::int32_t> ids, std::int64_t step) {
    const auto sequences = std::ssize(ids);
    DecoderBatch batch;
    for (std::int64_t i = 0; i < sequences; ++i) batch.add(1, rows() + step, pages(i));
    const auto chosen = runner_.decode(ids, batch, most_likely(sequences)).tokens;
    std::copy(chosen.begin(), chosen.end(), ids.begin());
  }

 private:
  static std::int64_t pages_each(std::int64_t rows) { return (rows + kSteps) / kPageTokens + 1; }

  std::int64_t rows() const { return rows_of(runner_.config()); }
  std::span<const std::int32_t> pages(std::int64_t sequence) const {
    const std::int64_t each = pages_each(rows());
    return std::span(page_numbers_)
        .subspan(static_cast<std::size_t>(sequence * each), static_cast<std::size_t>(each));
  }
  NextTokens most_likely(std::int64_t rows) const {
    return {.vocabulary = runner_.config().text.vocab_size,
            .sampling = std::span(sampling_).first(static_cast<std::size_t>(rows))};
  }

  GpuRunner<BFloat16> runner_;
  std::vector<Pixels> pictures_;
  std::vector<std::int32_t> page_numbers_;
  std::vector<SamplingParams> sampling_ = std::vector<SamplingParams>(kMostSequences);
};

}  // namespace fvlm
