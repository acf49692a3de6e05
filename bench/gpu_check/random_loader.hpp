// Random weights for measurements, made in a moment whatever the size of the model: every matrix is
// a part of the same random bytes. Numbers stay finite; they mean nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "fvlm/core/element.hpp"
#include "fvlm/models/module.hpp"
#include "fvlm/ops/host_weights.hpp"
#include "kernels/support/thread_team.hpp"

namespace fvlm {

class RandomWeights {
 public:
  // As many random bytes; small numbers as bfloat16.
  const std::byte* bytes(std::size_t count) {
    if (bytes_.size() < count) {
      bytes_.resize(count);
      auto* const words = reinterpret_cast<BFloat16*>(bytes_.data());
      const auto words_count = static_cast<std::int64_t>(count / 2);
      ThreadTeam::all().for_blocks(words_count, [words](std::int64_t first, std::int64_t n) {
        for (std::int64_t i = first; i < first + n; ++i) {
          const auto bits = static_cast<std::uint32_t>(i * 2654435761 + 12345) >> 8;
          words[i] = BFloat16((static_cast<float>(bits % 2048) - 1023.5F) / 1023.5F / 32);
        }
      });
    }
    return bytes_.data();
  }
  const std::byte* scales(std::size_t count) {
    if (scales_.size() < count) scales_.resize(count, BFloat16(1.0F / 4096));
    return reinterpret_cast<const std::byte*>(scales_.data());
  }

 private:
  std::vector<std::byte> bytes_;
  std::vector<BFloat16> scales_;
};

// Matrices of tokens are random integers already, if the format is one of integers.
template <class B>
class RandomLoader : public Visitor<RandomLoader<B>> {
 public:
  RandomLoader(RandomWeights& random, const WeightFormat& format, B& backend)
      : random_(random), format_(format), backend_(backend) {}

  template <class P>
  void leaf(const std::string&, P& parameter) {
    parameter.weights = backend_.pack(parameter.spec, host(parameter.spec));
  }

 private:
  static std::vector<float> filled(std::int64_t count, float value) {
    return std::vector<float>(static_cast<std::size_t>(count), value);
  }

  HostLinear host(const LinearSpec& spec) {
    HostLinear host{.out = spec.out(), .in = spec.in};
    HostLinear::Block block{.dtype = DType::kBF16, .data = nullptr, .rows = host.out};
    if (format_.is_quantised() && spec.rows == Rows::kTokens) {
      block.quantised = format_;
      block.data = random_.bytes(static_cast<std::size_t>(host.out * format_.row_bytes(host.in)));
      block.scales = random_.scales(static_cast<std::size_t>(host.out * format_.scales(host.in)));
    } else {
      block.data = random_.bytes(static_cast<std::size_t>(host.out * host.in) * sizeof(BFloat16));
    }
    host.blocks.push_back(block);
    if (spec.bias) host.bias = filled(host.out, 0.01F);
    return host;
  }
  static HostDepthwise host(const DepthwiseSpec& spec) {
    return {filled(spec.kernel * spec.kernel * spec.out(), 0.02F), filled(spec.out(), 0.01F)};
  }
  static HostStem host(const StemSpec& spec) {
    return {filled(27 * spec.out, 1e-4F), filled(spec.out, 0.01F)};
  }
  static HostNorm host(const NormSpec& spec) {
    return {filled(spec.channels, 1), spec.bias ? filled(spec.channels, 0) : std::vector<float>{}};
  }

  RandomWeights& random_;
  WeightFormat format_;
  B& backend_;
};

// For backends without data.
template <class B>
class ShapesOf : public Visitor<ShapesOf<B>> {
 public:
  explicit ShapesOf(B& backend) : backend_(backend) {}

  template <class P>
  void leaf(const std::string&, P& parameter) {
    parameter.weights = backend_.pack(parameter.spec, {});
  }

 private:
  B& backend_;
};

}  // namespace fvlm
