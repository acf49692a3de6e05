// FastViTHD alone, of a tiny size and with random weights, over two backends: the plain one and the
// fast one must agree. Both compute in host memory; others would need upload() and download().
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <vector>

#include "fvlm/models/fastvithd.hpp"
#include "kernels/cpu/cpu.hpp"
#include "kernels/plan/plan.hpp"
#include "kernels/ref/ref.hpp"
#include "random_weights.hpp"

namespace {

const fvlm::FastViTHDConfig kConfig = {
    .image_size = 128, .layers = {1, 1, 1, 1, 1}, .embed_dims = {16, 32, 64, 128, 256}};

// What a pass over one picture allocates: the same pass without data, over a backend that asks the
// other one for the scratch memory of each operation.
template <class B>
std::size_t scratch_bytes(const B& backend) {
  using Plan = fvlm::PlanOf<B>;
  Plan plan(fvlm::WeightFormat::kF32, {.backend = &backend});
  fvlm::FastViTHD<Plan> encoder(kConfig);
  RandomWeights<Plan> shapes(plan);
  encoder.visit(shapes);
  auto context = plan.make_context();
  encoder.encode(plan, context, {nullptr, 1, kConfig.image_size, kConfig.image_size, 3},
                 {nullptr, kConfig.tokens(), kConfig.output_channels(), kConfig.output_channels()});
  return context.arena().high_water();
}

// The features of a picture, [tokens, output_channels].
template <class B>
std::vector<float> encode(B backend, const std::vector<std::uint8_t>& picture) {
  fvlm::FastViTHD<B> encoder(kConfig);
  RandomWeights<B> weights(backend);
  encoder.visit(weights);
  auto context = backend.make_context({.scratch_bytes = scratch_bytes(backend)});

  const std::int64_t channels = kConfig.output_channels();
  std::vector<float> features(static_cast<std::size_t>(kConfig.tokens() * channels));
  encoder.encode(backend, context, {picture.data(), 1, kConfig.image_size, kConfig.image_size, 3},
                 {features.data(), kConfig.tokens(), channels, channels});
  return features;
}

}  // namespace

int main() {
  std::vector<std::uint8_t> picture(
      static_cast<std::size_t>(3 * kConfig.image_size * kConfig.image_size));
  for (std::size_t i = 0; i < picture.size(); ++i)
    picture[i] = static_cast<std::uint8_t>(i * i % 251);

  const auto want = encode(fvlm::Ref(fvlm::WeightFormat::kF32), picture);
  const auto got = encode(fvlm::Cpu({.formats = fvlm::WeightFormat::kF32}), picture);
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    difference += std::pow(double{got[i]} - want[i], 2);
    norm += std::pow(double{want[i]}, 2);
  }
  const double error = std::sqrt(difference / norm);
  std::cout << want.size() << " features, relative difference of Cpu from Ref " << error << '\n';
  return norm > 0 && error < 1e-5 ? 0 : 1;  // both add in float32 or better
}
