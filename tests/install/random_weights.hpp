// Random weights for any module over any backend. A parameter's values depend on its path alone, so
// that two backends get the same ones.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "fvlm/models/module.hpp"
#include "fvlm/ops/host_weights.hpp"

template <class B>
class RandomWeights : public fvlm::Visitor<RandomWeights<B>> {
 public:
  explicit RandomWeights(B& backend) : backend_(backend) {}

  template <class Parameter>
  void leaf(const std::string& path, Parameter& parameter) {
    random_.seed(static_cast<unsigned>(std::hash<std::string>{}(path)));
    parameter.weights = pack(parameter.spec);
  }

 private:
  auto pack(const fvlm::LinearSpec& spec) {
    const auto weight = values(spec.out() * spec.in, 1 / std::sqrt(static_cast<float>(spec.in)));
    fvlm::HostLinear host{.out = spec.out(), .in = spec.in};
    host.blocks.push_back(
        {fvlm::DType::kF32, reinterpret_cast<const std::byte*>(weight.data()), spec.out()});
    if (spec.bias) host.bias = values(spec.out(), 0.1F);
    return backend_.pack(spec, host);
  }
  auto pack(const fvlm::DepthwiseSpec& spec) {
    return backend_.pack(spec, fvlm::HostDepthwise{values(spec.kernel * spec.kernel * spec.out(),
                                                          1 / static_cast<float>(spec.kernel)),
                                                   values(spec.out(), 0.1F)});
  }
  auto pack(const fvlm::StemSpec& spec) {
    return backend_.pack(spec,
                         fvlm::HostStem{values(27 * spec.out, 0.2F / 255), values(spec.out, 0.1F)});
  }
  auto pack(const fvlm::NormSpec& spec) {
    return backend_.pack(spec, fvlm::HostNorm{values(spec.channels, 1),
                                              values(spec.bias ? spec.channels : 0, 0.1F)});
  }

  std::vector<float> values(std::int64_t count, float deviation) {
    std::vector<float> drawn(static_cast<std::size_t>(count));
    std::normal_distribution<float> normal(0, deviation);
    for (float& value : drawn) value = normal(random_);
    return drawn;
  }

  B& backend_;
  std::mt19937 random_;
};
