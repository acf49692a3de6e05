// See weights.hpp. All folding is done in double: the released running variances go down to 1e-8.
#include "runtime/weights.hpp"

#include <cmath>
#include <cstring>
#include <set>
#include <span>
#include <string_view>
#include <type_traits>

#include "fvlm/core/element.hpp"
#include "fvlm/models/fastvlm.hpp"
#include "kernels/plan/plan.hpp"

namespace fvlm {
namespace {

std::vector<float> read(const Checkpoint& checkpoint, const StoredTensor& stored) {
  const TensorView& tensor = checkpoint.require(stored);
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  copy_as_float(tensor, values);
  return values;
}

class TokenFormats : public Visitor<TokenFormats> {
 public:
  TokenFormats(const Checkpoint& checkpoint, const FormatChoice& formats)
      : checkpoint_(checkpoint), formats_(formats) {}

  template <class P>
  void leaf(const std::string& path, const P& parameter) {
    if constexpr (std::is_same_v<std::decay_t<decltype(parameter.spec)>, LinearSpec>) {
      if (parameter.spec.rows != Rows::kTokens) return;
      names.insert(name_of(formats_.of(checkpoint_.as_stored(path, parameter.spec)).type));
    }
  }

  std::set<std::string_view> names;

 private:
  const Checkpoint& checkpoint_;
  const FormatChoice& formats_;
};

}  // namespace

HostLinear fold(const Checkpoint& checkpoint, const std::string& path, const LinearSpec& spec) {
  HostLinear host{.out = spec.out(), .in = spec.in};
  if (!spec.layer_scale.empty()) {
    const auto scale = read(checkpoint, stored_tensors(path, spec).back());
    host.row_scale.assign(scale.begin(), scale.end());
  }
  for (const StoredTensor& stored : stored_tensors(path, spec)) {
    if (stored.role == Role::kLayerScale) continue;
    if (stored.role == Role::kScales) {
      host.blocks.back().scales = checkpoint.require(stored).data.data();
    } else if (stored.role == Role::kBias) {
      const auto bias = read(checkpoint, stored);
      host.bias.insert(host.bias.end(), bias.begin(), bias.end());
    } else {
      const TensorView& tensor = checkpoint.require(stored);
      host.blocks.push_back({.dtype = tensor.dtype,
                             .data = tensor.data.data(),
                             .rows = stored.shape[0],
                             .change = checkpoint.low_rank(stored.name, stored.shape),
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
HostDepthwise fold(const Checkpoint& checkpoint, const std::string& path,
                   const DepthwiseSpec& spec) {
  constexpr double kBatchNormEps = 1e-5;
  const auto stored = stored_tensors(path, spec);
  const auto weight = read(checkpoint, stored[0]);  // [out, 1, k, k]
  const auto out = static_cast<std::size_t>(spec.out());
  const auto taps = static_cast<std::size_t>(spec.kernel * spec.kernel);
  HostDepthwise host{std::vector<float>(taps * out),
                     read(checkpoint, stored[spec.batch_norm.empty() ? 1 : 2])};
  std::vector<double> scale(out, 1.0);
  if (!spec.batch_norm.empty()) {
    const auto gain = read(checkpoint, stored[1]);
    const auto mean = read(checkpoint, stored[3]);
    const auto variance = read(checkpoint, stored[4]);
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

HostStem fold(const Checkpoint& checkpoint, const std::string& path, const StemSpec& spec) {
  const double divisor = spec.takes_bytes ? 1.0 : 255.0;
  const auto stored = stored_tensors(path, spec);
  const auto weight = read(checkpoint, stored[0]);  // [out, 3 (rgb), 3, 3]
  const auto out = static_cast<std::size_t>(spec.out);
  HostStem host{std::vector<float>(27 * out), read(checkpoint, stored[1])};
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

HostNorm fold(const Checkpoint& checkpoint, const std::string& path, const NormSpec& spec) {
  const auto stored = stored_tensors(path, spec);
  return {read(checkpoint, stored[0]),
          spec.bias ? read(checkpoint, stored[1]) : std::vector<float>{}};
}

std::string token_formats(const Checkpoint& checkpoint, const FormatChoice& formats) {
  FastVlm<Plan> model(checkpoint.config());
  TokenFormats found(checkpoint, formats);
  model.visit(found);
  return fmt::format("{}", fmt::join(found.names, "+"));
}

void warn_about_head(const Checkpoint& checkpoint, const WarningSink& warn) {
  if (!checkpoint.config().text.tie_word_embeddings) return;
  const TensorView* embedding = checkpoint.find("model.embed_tokens.weight");
  const TensorView* head = checkpoint.find("lm_head.weight");
  if (embedding == nullptr || head == nullptr) return;
  if (embedding->data.size() != head->data.size() ||
      std::memcmp(embedding->data.data(), head->data.data(), head->data.size()) != 0) {
    warn(
        fmt::format("{}: \"lm_head.weight\" differs from \"model.embed_tokens.weight\", which is "
                    "used in its place; "
                    "if the answers are wrong, set \"tie_word_embeddings\" to false in config.json",
                    head->file));
  }
  checkpoint.release(*head);
}

std::int64_t count_non_finite(const TensorView& tensor) {
  // Exponent bits all set: infinity or not a number.
  const auto count = [&](auto element, auto exponent) {
    using Bits = decltype(element);
    std::int64_t bad = 0;
    const std::int64_t n = tensor.elements();
#pragma omp parallel for reduction(+ : bad)
    for (std::int64_t i = 0; i < n; ++i) {
      Bits bits;
      std::memcpy(&bits, tensor.data.data() + static_cast<std::size_t>(i) * sizeof(Bits),
                  sizeof(Bits));
      bad += (bits & exponent) == exponent ? 1 : 0;
    }
    return bad;
  };
  switch (tensor.dtype) {
    case DType::kF32:
      return count(std::uint32_t{}, 0x7f800000U);
    case DType::kBF16:
      return count(std::uint16_t{}, std::uint16_t{0x7f80});
    case DType::kF16:
      return count(std::uint16_t{}, std::uint16_t{0x7c00});
    default:
      return 0;
  }
}

}  // namespace fvlm
