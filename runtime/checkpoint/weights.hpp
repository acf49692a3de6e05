// Loads a checkpoint's tensors into a model: finds them by their specs, folds batch norms, layer
// scales and 1/255 in double precision, and hands them to the backend to pack.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>

#include "fvlm/models/module.hpp"
#include "fvlm/ops/host_weights.hpp"
#include "fvlm/ops/spec.hpp"
#include "runtime/checkpoint/checkpoint.hpp"

namespace fvlm {

// Reads and folds the tensors of one parameter at `path`, with its spec as the checkpoint stores
// it. Throws Error if one is missing or has another shape, naming the file and the tensor.
HostLinear fold(const Checkpoint& checkpoint, const std::string& path, const LinearSpec& spec);
HostDepthwise fold(const Checkpoint& checkpoint, const std::string& path,
                   const DepthwiseSpec& spec);
HostStem fold(const Checkpoint& checkpoint, const std::string& path, const StemSpec& spec);
HostNorm fold(const Checkpoint& checkpoint, const std::string& path, const NormSpec& spec);

// Told before each parameter: bytes loaded so far and in all.
using LoadProgress = std::function<void(std::int64_t done, std::int64_t total)>;
using WarningSink = std::function<void(const std::string&)>;

// Bytes of all tensors the specs name.
class StoredBytes : public Visitor<StoredBytes> {
 public:
  explicit StoredBytes(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  template <class P>
  void leaf(const std::string& path, const P& parameter) {
    for (const StoredTensor& t : checkpoint_.stored(path, parameter.spec)) {
      bytes += static_cast<std::int64_t>(checkpoint_.require(t).data.size());
    }
  }

  std::int64_t bytes = 0;

 private:
  const Checkpoint& checkpoint_;
};

template <class B>
class WeightLoader : public Visitor<WeightLoader<B>> {
 public:
  WeightLoader(const Checkpoint& checkpoint, B& backend, std::int64_t total, LoadProgress progress,
               WarningSink warn)
      : checkpoint_(checkpoint),
        backend_(backend),
        total_(total),
        progress_(std::move(progress)),
        warn_(std::move(warn)) {}

  template <class P>
  void leaf(const std::string& path, P& parameter) {
    if (progress_) progress_(done_, total_);
    const auto spec = checkpoint_.as_stored(path, parameter.spec);
    parameter.weights = backend_.pack(spec, fold(checkpoint_, path, spec));
    for (const StoredTensor& stored : stored_tensors(path, spec)) {
      const TensorView& tensor = checkpoint_.require(stored);
      checkpoint_.check_sum(tensor);
      if (warn_) warn_about_values(tensor);
      done_ += static_cast<std::int64_t>(tensor.data.size());
      checkpoint_.release(tensor);
    }
  }

 private:
  void warn_about_values(const TensorView& tensor) const;

  const Checkpoint& checkpoint_;
  B& backend_;
  std::int64_t total_;
  std::int64_t done_ = 0;
  LoadProgress progress_;
  WarningSink warn_;
};

// The number of elements of a tensor that are infinite or not a number.
std::int64_t count_non_finite(const TensorView& tensor);

template <class B>
void WeightLoader<B>::warn_about_values(const TensorView& tensor) const {
  if (const std::int64_t bad = count_non_finite(tensor); bad > 0) {
    warn_(
        fmt::format("{}: tensor \"{}\": {} of {} values are infinite or not a number; the text "
                    "will be meaningless",
                    tensor.file, tensor.name, bad, tensor.elements()));
  }
}

// The formats in which a backend with this choice keeps the matrices for tokens, e.g. "int4".
std::string token_formats(const Checkpoint& checkpoint, const FormatChoice& formats);

// Warns if the embedding serves as the head, as config.json says, but the file has another head:
// the flag is known to be wrong in some releases.
void warn_about_head(const Checkpoint& checkpoint, const WarningSink& warn);

// Folds each norm into the matrix that alone reads it (LinearSpec::after_norm).
template <class B>
class NormFolder : public Visitor<NormFolder<B>> {
 public:
  explicit NormFolder(B& backend) : backend_(backend) {}

  template <class P>
  void leaf(const std::string&, P& parameter) {
    if constexpr (std::is_same_v<P, Norm<B>>) norm_ = &parameter.weights;
    if constexpr (std::is_same_v<P, Linear<B>>) {
      if (parameter.spec.after_norm) backend_.fold(*norm_, parameter.weights);
    }
  }

 private:
  B& backend_;
  typename B::Norm* norm_ = nullptr;
};

// Loads every parameter of `model`. The checkpoint's pages are given back as they are used. A
// backend that gains by it has a fold(Norm&, Linear&).
template <class B, class Model>
void load_weights(const Checkpoint& checkpoint, B& backend, Model& model, LoadProgress progress,
                  WarningSink warn) {
  StoredBytes size(checkpoint);  // also finds a missing tensor before any work is done
  model.visit(size);
  if (warn) warn_about_head(checkpoint, warn);
  WeightLoader<B> loader(checkpoint, backend, size.bytes, std::move(progress), std::move(warn));
  model.visit(loader);
  if constexpr (requires(typename B::Norm & norm, typename B::Linear & linear) {
                  backend.fold(norm, linear);
                }) {
    NormFolder<B> folder(backend);
    model.visit(folder);
  }
}

// Packs a model for backends that need no data; `checkpoint` tells how it is stored, if that
// counts.
template <class B>
class ShapeLoader : public Visitor<ShapeLoader<B>> {
 public:
  explicit ShapeLoader(B& backend, const Checkpoint* checkpoint = nullptr)
      : backend_(backend), checkpoint_(checkpoint) {}

  template <class P>
  void leaf(const std::string& path, P& parameter) {
    parameter.weights = backend_.pack(
        checkpoint_ != nullptr ? checkpoint_->as_stored(path, parameter.spec) : parameter.spec, {});
  }

 private:
  B& backend_;
  const Checkpoint* checkpoint_;
};

}  // namespace fvlm
