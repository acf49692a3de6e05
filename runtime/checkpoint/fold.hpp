// How stored tensors fold into what backends run: batch norms into convolutions, layer scales into
// matrices, 1/255 into the stem. All of it is done in double: the released running variances go
// down to 1e-8.
//
// A source of tensors, such as Checkpoint, has require(StoredTensor) -> const TensorView&, of a
// floating-point type unless quantised, and low_rank(name, shape) -> shared_ptr<const LowRank>.
#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "fvlm/core/convert.hpp"
#include "fvlm/ops/host_weights.hpp"
#include "fvlm/ops/spec.hpp"
#include "runtime/checkpoint/tensor_view.hpp"

namespace fvlm {

template <class Source>
std::vector<float> read_tensor(const Source& source, const StoredTensor& stored) {
  const TensorView& tensor = source.require(stored);
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  convert_to_float(tensor.dtype, tensor.data.data(), values);
  return values;
}

template <class Source>
HostLinear folded_from(const Source& source, const std::string& path, const LinearSpec& spec) {
  HostLinear host{.out = spec.out(), .in = spec.in};
  if (!spec.layer_scale.empty()) {
    const auto scale = read_tensor(source, stored_tensors(path, spec).back());
    host.row_scale.assign(scale.begin(), scale.end());
  }
  for (const StoredTensor& stored : stored_tensors(path, spec)) {
    if (stored.role == Role::kLayerScale) continue;
    if (stored.role == Role::kScales) {
      host.blocks.back().scales = source.require(stored).data.data();
    } else if (stored.role == Role::kBias) {
      const auto bias = read_tensor(source, stored);
      host.bias.insert(host.bias.end(), bias.begin(), bias.end());
    } else {
      const TensorView& tensor = source.require(stored);
      host.blocks.push_back({.dtype = tensor.dtype,
                             .data = tensor.data.data(),
                             .rows = stored.shape[0],
                             .change = source.low_rank(stored.name, stored.shape),
                             .quantised = stored.quantised});
    }
  }
  if (!host.row_scale.empty()) {
    for (std::size_t i = 0; i < host.bias.size(); ++i) {
      host.bias[i] = static_cast<float>(host.bias[i] * host.row_scale[i]);
    }
  }
  return host;
}

// y = (conv(x) - mean) / sqrt(variance + eps) * gain + bias is a convolution again, with the
// weights scaled by gain / sqrt(variance + eps).
template <class Source>
HostDepthwise folded_from(const Source& source, const std::string& path,
                          const DepthwiseSpec& spec) {
  constexpr double kBatchNormEps = 1e-5;
  const auto stored = stored_tensors(path, spec);
  const auto weight = read_tensor(source, stored[0]);  // [out, 1, k, k]
  const auto out = static_cast<std::size_t>(spec.out());
  const auto taps = static_cast<std::size_t>(spec.kernel * spec.kernel);
  HostDepthwise host{std::vector<float>(taps * out),
                     read_tensor(source, stored[spec.batch_norm.empty() ? 1 : 2])};
  std::vector<double> scale(out, 1.0);
  if (!spec.batch_norm.empty()) {
    const auto gain = read_tensor(source, stored[1]);
    const auto mean = read_tensor(source, stored[3]);
    const auto variance = read_tensor(source, stored[4]);
    for (std::size_t c = 0; c < out; ++c) {
      scale[c] = gain[c] / std::sqrt(double{variance[c]} + kBatchNormEps);
      host.bias[c] = static_cast<float>(host.bias[c] - mean[c] * scale[c]);
    }
  }
  for (std::size_t c = 0; c < out; ++c) {
    for (std::size_t tap = 0; tap < taps; ++tap) {
      host.weight[tap * out + c] = static_cast<float>(weight[c * taps + tap] * scale[c]);
    }
  }
  return host;
}

template <class Source>
HostStem folded_from(const Source& source, const std::string& path, const StemSpec& spec) {
  const double divisor = spec.takes_bytes ? 1.0 : 255.0;
  const auto stored = stored_tensors(path, spec);
  const auto weight = read_tensor(source, stored[0]);  // [out, 3 (rgb), 3, 3]
  const auto out = static_cast<std::size_t>(spec.out);
  HostStem host{std::vector<float>(27 * out), read_tensor(source, stored[1])};
  for (std::size_t c = 0; c < out; ++c) {
    for (std::size_t rgb = 0; rgb < 3; ++rgb) {
      for (std::size_t tap = 0; tap < 9; ++tap) {
        host.weight[(tap * 3 + rgb) * out + c] =
            static_cast<float>(weight[(c * 3 + rgb) * 9 + tap] / divisor);
      }
    }
  }
  return host;
}

template <class Source>
HostNorm folded_from(const Source& source, const std::string& path, const NormSpec& spec) {
  const auto stored = stored_tensors(path, spec);
  return {read_tensor(source, stored[0]),
          spec.bias ? read_tensor(source, stored[1]) : std::vector<float>{}};
}

}  // namespace fvlm
