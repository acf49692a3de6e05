// The whole model on the device against the PyTorch reference, as tests/models/golden_test.cpp does
// it for the other backends: gpu_golden FOLDER, which has what tests/data/golden.tar.xz holds, and
// indices by plain_index.py. Exit status 1 if a figure is out of bounds.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "bench/gpu_check/gpu_runner.hpp"
#include "bench/gpu_check/plain_checkpoint.hpp"
#include "kernels/support/make_error.hpp"
#include "runtime/checkpoint/fold.hpp"
#include "runtime/engine/trace_model.hpp"

namespace fvlm {
namespace {

constexpr std::int64_t kNewTokens = 24;

template <class B>
class PlainLoader : public Visitor<PlainLoader<B>> {
 public:
  PlainLoader(const PlainFile& file, B& backend) : file_(file), backend_(backend) {}

  template <class P>
  void leaf(const std::string& path, P& parameter) {
    parameter.weights = backend_.pack(parameter.spec, folded_from(file_, path, parameter.spec));
  }

 private:
  const PlainFile& file_;
  B& backend_;
};

// |a - b| / |b| over the first `count` values.
double relative_error(const std::vector<float>& a, const std::vector<float>& b, std::size_t count) {
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < count; ++i) {
    difference += (double{a.at(i)} - b.at(i)) * (double{a.at(i)} - b.at(i));
    norm += double{b[i]} * b[i];
  }
  return std::sqrt(difference / norm);
}

// One picture: whether all is within bounds.
template <class E>
bool check(GpuRunner<E>& runner, const PlainFile& expected, const std::string& picture) {
  constexpr bool kFloat = sizeof(E) == 4;
  const auto planes = expected.floats(picture + ".pixels");  // [3, side, side] in 0..1
  const Pixels pixels = runner.pixel_memory(planes.size());
  for (std::size_t i = 0; i < planes.size(); ++i) {
    const std::size_t plane = planes.size() / 3;
    pixels[i % plane * 3 + i / plane] = static_cast<std::uint8_t>(std::lround(planes[i] * 255));
  }
  std::vector<std::int32_t> ids;
  for (const float id : expected.floats(picture + ".prompt_ids"))
    ids.push_back(static_cast<std::int32_t>(id));
  const auto traced = trace_model(runner, pixels, ids, kNewTokens);
  const auto got = [&](const std::string& name) -> const std::vector<float>& {
    for (const TracedTensor& tensor : traced) {
      if (tensor.name == name) return tensor.values;
    }
    throw make_error("nothing was traced by the name {}", name);
  };
  const auto features = expected.floats(picture + ".features");
  const auto logits = expected.floats(picture + ".logits");
  // In bfloat16 the first step's logits, before paths can part.
  const auto compared =
      kFloat ? logits.size() : static_cast<std::size_t>(runner.config().text.vocab_size);
  const double features_error = relative_error(got("features"), features, features.size());
  const double logits_error = relative_error(got("logits"), logits, compared);
  const bool same = got("tokens") == expected.floats(picture + ".tokens");
  const bool good = features_error < (kFloat ? 1e-4 : 2e-2) &&
                    logits_error < (kFloat ? 1e-4 : 4e-2) && (same || !kFloat);
  std::printf("%s %-6s %s: features %.1e, logits %.1e, tokens %s\n", good ? "passed" : "FAILED",
              picture.c_str(), kFloat ? "f32 " : "bf16", features_error, logits_error,
              same ? "the same" : "others");
  return good;
}

template <class E>
bool check_all(const std::filesystem::path& folder, WeightFormat format) {
  const PlainFile weights(folder / "checkpoint" / "model.safetensors");
  const PlainFile expected(folder / "expected.safetensors");
  using B = GpuBackend<E>;
  const FastVlmConfig config = weights.config();
  GpuRunner<E> runner(config, B(format), {}, trace_pages(config, kNewTokens),
                      [&](B& backend, FastVlm<B>& model) {
                        PlainLoader<B> loader(weights, backend);
                        model.visit(loader);
                      });
  bool good = true;
  for (const char* picture : {"wide", "tall", "small", "exact"})
    good = check(runner, expected, picture) && good;
  std::printf("%lld passes launched as graphs\n",
              static_cast<long long>(runner.passes().decoder().graph_launches()));
  return good && runner.passes().decoder().graph_launches() > 0;
}

}  // namespace
}  // namespace fvlm

int main(int argc, char** argv) {
  using namespace fvlm;
  if (argc != 2) {
    std::fprintf(stderr, "usage: gpu_golden FOLDER\n");
    return 2;
  }
  try {
    bool good = true;
    for (const char* shape : {"tiny", "gqa7"}) {
      const auto folder = std::filesystem::path(argv[1]) / shape;
      std::printf("%s\n", shape);
      good = check_all<float>(folder, WeightFormat::kF32) && good;
      good = check_all<BFloat16>(folder, WeightFormat::kBF16) && good;
    }
    return good ? 0 : 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "gpu_golden: %s\n", e.what());
    return 1;
  }
}
