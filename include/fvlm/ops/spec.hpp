// What a checkpoint stores for each kind of parameter, and how it folds into what a backend runs.
//
// A spec is the shape of one fused linear map together with the stored tensors that make it up:
// matrices stacked along their outputs, a batch norm, a layer scale. Names are relative to the
// parameter's own path in LLaVA's layout ("" is the path itself, "../x" a sibling). Loader, shape
// checker, info and make-checkpoint all read the same specs, so no list of names exists twice.
#pragma once

#include <cstdint>
#include <functional>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fvlm/ops/weight_format.hpp"

namespace fvlm {

// What a stored tensor is for; decides how make-checkpoint draws random values.
enum class Role : std::uint8_t {
  kWeight,      // normal, variance 1 / fan-in
  kBias,        // small
  kGain,        // near 1: the weight of a norm
  kLayerScale,  // below 1
  kMean,        // small: running mean of a batch norm
  kVariance,    // positive: running variance
  kEmbedding,   // normal, the same size in every row
  kScales,      // of the quantised matrix before
};

struct StoredTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  Role role;
  // Of a matrix, and how it is stored if quantised: its shape counts bytes of rows then.
  std::optional<WeightFormat> quantised{};
  std::int64_t in = 0;

  // How many parameters of the model it holds.
  std::int64_t parameters() const {
    if (role == Role::kScales) return 0;
    if (quantised) return shape[0] * in;
    return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
  }
};

// How many rows a GEMM usually has: decides the layout of the packed weights.
enum class Rows : std::uint8_t {
  kPositions,  // the many positions of a feature map
  kTokens,     // anything from one token (decode) to a prompt (prefill)
};

// y = W x + b with W [out, in], stacked from `parts`.
struct LinearSpec {
  struct Part {
    std::string name;
    std::int64_t out;
    std::optional<WeightFormat> quantised{};  // how a converted checkpoint stores the matrix
  };

  std::int64_t in = 0;
  std::vector<Part> parts{};
  bool bias = true;
  bool convolution = false;      // stored as [out, in, 1, 1]
  std::string layer_scale{};     // sibling [out, 1, 1] that scales the outputs; empty: none
  Rows rows = Rows::kPositions;  // a quantised model quantises those of kTokens
  Role role = Role::kWeight;
  bool after_norm = false;  // it alone reads what the norm named before it writes

  std::int64_t out() const {
    std::int64_t sum = 0;
    for (const Part& part : parts) sum += part.out;
    return sum;
  }
  // The format that all parts are stored in, if that is a quantised one.
  std::optional<WeightFormat> stored_format() const {
    for (const Part& part : parts) {
      if (part.quantised != parts.front().quantised) return std::nullopt;
    }
    return parts.empty() ? std::nullopt : parts.front().quantised;
  }
};

// What formats a backend is asked to keep matrices in.
struct FormatChoice {
  WeightFormat format = WeightFormat::kBF16;
  bool as_stored = false;  // keep those as they are that the file has quantised

  FormatChoice(WeightFormat wanted = WeightFormat::kBF16, bool stored = false)
      : format(wanted), as_stored(stored) {}

  // Only the decoder's matrices are multiplied in integers.
  WeightFormat of(const LinearSpec& spec) const {
    const bool tokens = spec.rows == Rows::kTokens;
    if (const auto stored = spec.stored_format(); as_stored && stored && tokens) return *stored;
    return format.is_quantised() && !tokens ? WeightFormat::kBF16 : format;
  }
};

// Each output channel is one k x k filter over input channel o / multiplier.
struct DepthwiseSpec {
  std::int64_t in = 0;
  std::int64_t multiplier = 1;
  std::int64_t kernel = 3;
  std::int64_t stride = 1;
  std::string convolution{};  // name of the stored convolution
  std::string batch_norm{};   // name of the batch norm behind it, which has the bias then

  std::int64_t out() const { return in * multiplier; }
};

// The 3x3 stride 2 convolution on RGB pixels that begins the encoder.
struct StemSpec {
  std::int64_t out = 0;
  bool takes_bytes = false;  // stored for pixels in 0..255, else in 0..1
};

// Layer norm (with bias) or RMS norm (without) over channels.
struct NormSpec {
  std::int64_t channels = 0;
  bool bias = false;
  double eps = 1e-5;
};

// The same parameters in a checkpoint that `fastvlm convert` wrote: nothing is left to fold.
inline LinearSpec folded(LinearSpec spec) {
  spec.layer_scale.clear();
  return spec;
}
inline DepthwiseSpec folded(DepthwiseSpec spec) {
  spec.batch_norm.clear();
  return spec;
}
inline StemSpec folded(StemSpec spec) {
  spec.takes_bytes = true;
  return spec;
}
inline NormSpec folded(NormSpec spec) {
  return spec;
}

// "a.b" and "../c" -> "a.c"; an empty name is the path itself.
inline std::string resolve(std::string path, std::string name) {
  while (name.starts_with("../")) {
    name.erase(0, 3);
    const auto dot = path.rfind('.');
    path.erase(dot == std::string::npos ? 0 : dot);
  }
  if (name.empty()) return path;
  return path.empty() ? name : path + "." + name;
}

inline std::vector<StoredTensor> stored_tensors(const std::string& path, const LinearSpec& spec) {
  std::vector<StoredTensor> stored;
  for (const LinearSpec::Part& part : spec.parts) {
    const std::string base = resolve(path, part.name);
    std::vector<std::int64_t> shape = {part.out, spec.in};
    if (part.quantised) {
      shape[1] = part.quantised->row_bytes(spec.in);
      stored.push_back({base + ".weight", shape, spec.role, part.quantised, spec.in});
      shape[1] = part.quantised->scales(spec.in);
      stored.push_back({base + ".weight.scales", std::move(shape), Role::kScales});
    } else {
      if (spec.convolution) shape.insert(shape.end(), {1, 1});
      stored.push_back({base + ".weight", std::move(shape), spec.role});
    }
    if (spec.bias) stored.push_back({base + ".bias", {part.out}, Role::kBias});
  }
  if (!spec.layer_scale.empty()) {
    stored.push_back({resolve(path, spec.layer_scale), {spec.out(), 1, 1}, Role::kLayerScale});
  }
  return stored;
}

inline std::vector<StoredTensor> stored_tensors(const std::string& path,
                                                const DepthwiseSpec& spec) {
  const std::string convolution = resolve(path, spec.convolution);
  std::vector<StoredTensor> stored = {
      {convolution + ".weight", {spec.out(), 1, spec.kernel, spec.kernel}, Role::kWeight}};
  if (spec.batch_norm.empty()) {
    stored.push_back({convolution + ".bias", {spec.out()}, Role::kBias});
  } else {
    const std::string norm = resolve(path, spec.batch_norm);
    stored.push_back({norm + ".weight", {spec.out()}, Role::kGain});
    stored.push_back({norm + ".bias", {spec.out()}, Role::kBias});
    stored.push_back({norm + ".running_mean", {spec.out()}, Role::kMean});
    stored.push_back({norm + ".running_var", {spec.out()}, Role::kVariance});
  }
  return stored;
}

inline std::vector<StoredTensor> stored_tensors(const std::string& path, const StemSpec& spec) {
  return {{path + ".weight", {spec.out, 3, 3, 3}, Role::kWeight},
          {path + ".bias", {spec.out}, Role::kBias}};
}

inline std::vector<StoredTensor> stored_tensors(const std::string& path, const NormSpec& spec) {
  std::vector<StoredTensor> stored = {{path + ".weight", {spec.channels}, Role::kGain}};
  if (spec.bias) stored.push_back({path + ".bias", {spec.channels}, Role::kBias});
  return stored;
}

}  // namespace fvlm
