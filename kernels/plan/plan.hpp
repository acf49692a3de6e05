// Backends without data. They check shapes and count scratch memory (Plan), and keep a list of
// the operations with their arithmetic and memory traffic besides (Trace). `info` draws the model
// from them, the engine sizes its arena with them, and benchmarks take their rooflines from them.
//
// Bytes are the least an ideal backend must move: weights once, inputs and outputs once, with the
// hidden layer of conv_ffn kept on the chip.
#pragma once

#include <cassert>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fvlm/ops/backend.hpp"
#include "fvlm/ops/host_memory.hpp"

namespace fvlm {

struct Operation {
  std::string_view name;
  double flops = 0;         // multiplications and additions counted as two
  double weight_bytes = 0;  // weights and cached keys and values
  double activation_bytes = 0;
};

struct IgnoreOperations {
  void operator()(const Operation&) {}
};
struct ListOperations {
  std::vector<Operation> operations;

  void operator()(const Operation& operation) { operations.push_back(operation); }
  Operation total() const {
    Operation sum{.name = "total"};
    for (const Operation& o : operations) {
      sum.flops += o.flops;
      sum.weight_bytes += o.weight_bytes;
      sum.activation_bytes += o.activation_bytes;
    }
    return sum;
  }
};

template <class Sink>
class WithoutData : public HostMemory {
 public:
  using Element = float;
  struct Linear {
    double out = 0;
    double in = 0;
    double weight_bytes = 0;  // of one weight
  };
  struct Depthwise {
    DepthwiseSpec spec;
  };
  struct Stem {
    double out = 0;
  };
  struct Norm {};
  using Cache = CacheShape;

  explicit WithoutData(const FormatChoice& formats = {})
      : HostMemory(Arena::measuring()), formats_(formats) {}

  const Sink& sink() const { return sink_; }
  static std::string description() { return "without data"; }
  // Bytes of all matrices packed so far; convolutions and norms hardly count beside them.
  std::int64_t weight_bytes() const { return static_cast<std::int64_t>(weight_bytes_); }

  static void copy(View<const float>, View<float>) {}

  Linear pack(const LinearSpec& spec, const HostLinear& = {}) {
    const Linear linear{static_cast<double>(spec.out()), static_cast<double>(spec.in),
                        formats_.of(spec).bytes_per_weight()};
    weight_bytes_ += size(linear);
    return linear;
  }
  Depthwise pack(const DepthwiseSpec& spec, const HostDepthwise& = {}) const { return {spec}; }
  Stem pack(const StemSpec& spec, const HostStem& = {}) const {
    return {static_cast<double>(spec.out)};
  }
  Norm pack(const NormSpec&, const HostNorm& = {}) const { return {}; }

  void stem(FeatureMap<const std::uint8_t> pixels, const Stem& conv, const Depthwise& depthwise,
            FeatureMap<float> out) {
    const double half = static_cast<double>(pixels.batch * pixels.positions()) / 4;
    sink_({"stem", half * conv.out * 54 + depthwise_flops(depthwise, out), 0,
           static_cast<double>(pixels.elements()) + bytes(out.matrix())});
  }
  void depthwise(FeatureMap<const float> in, const Depthwise& weights, Activation,
                 FeatureMap<float> out) {
    assert(out.channels == weights.spec.out() && in.channels == weights.spec.in);
    sink_(
        {"depthwise", depthwise_flops(weights, out), 0, bytes(in.matrix()) + bytes(out.matrix())});
  }
  void linear(View<const float> in, const Linear& weights, Epilogue, View<float> out) {
    product("linear", in, weights, out);
  }
  void conv_ffn(FeatureMap<const float> in, const Depthwise& conv, const Linear& fc1,
                const Linear& fc2, FeatureMap<float> out) {
    const double rows = static_cast<double>(in.batch * in.positions());
    sink_({"conv_ffn", depthwise_flops(conv, out) + rows * (flops(fc1) + flops(fc2)),
           size(fc1) + size(fc2), bytes(in.matrix()) + bytes(out.matrix())});
  }
  void layer_norm(View<const float> in, const Norm&, View<float> out) {
    sink_({"layer_norm", 8 * static_cast<double>(in.rows * in.cols), 0, bytes(in) + bytes(out)});
  }
  void image_attention(View<const float> qkv, std::int64_t images, std::int64_t, View<float> out) {
    const double tokens = static_cast<double>(qkv.rows / images);
    sink_({"image_attention", 4 * tokens * static_cast<double>(out.rows * out.cols), 0,
           bytes(qkv) + bytes(out)});
  }
  void squeeze_excite(FeatureMap<const float> in, const Linear& reduce, const Linear& expand,
                      FeatureMap<float> out) {
    sink_({"squeeze_excite", static_cast<double>(in.batch) * (flops(reduce) + flops(expand)),
           size(reduce) + size(expand), bytes(in.matrix()) + bytes(out.matrix())});
  }

  void embed(std::span<const std::int32_t> ids, const Linear& table, View<float> out) {
    sink_(
        {"embed", 0, static_cast<double>(ids.size()) * table.in * table.weight_bytes, bytes(out)});
  }
  void attention_input(View<const float> x, const Norm&, const Linear& qkv, const AttentionShape&,
                       const DecoderBatch&, std::int64_t, Cache&, View<float> query) {
    product("attention_input", x, qkv, query);
  }
  void attention(View<const float> query, const AttentionShape& shape, const DecoderBatch& batch,
                 std::int64_t, const Cache&, View<float> out) {
    double scores = 0;
    double cached = 0;
    for (const Segment& segment : batch.segments) {
      const auto rows = static_cast<double>(segment.rows);
      const auto before = static_cast<double>(segment.position);
      scores += rows * before + rows * (rows + 1) / 2;
      cached += before + rows;
    }
    sink_({"attention", 4 * scores * static_cast<double>(query.cols),
           8 * cached * static_cast<double>(shape.kv_heads * shape.head_dim),
           bytes(query) + bytes(out)});
  }
  void swiglu(View<const float> x, const Norm&, const Linear& gate_up, View<float> out) {
    product("swiglu", x, gate_up, out);
  }
  void logits(View<const float> x, const Norm&, const Linear& head, View<float> out) {
    product("logits", x, head, out);
  }

  Cache make_cache(const CacheShape& shape) const { return shape; }
  void copy_page(Cache&, std::int32_t, std::int32_t) const {}

 private:
  template <class T>
  static double bytes(View<T> view) {
    return static_cast<double>(view.rows * view.cols) * sizeof(T);
  }
  static double flops(const Linear& weights) { return 2 * weights.out * weights.in; }
  static double size(const Linear& weights) {
    return weights.out * weights.in * weights.weight_bytes;
  }
  static double depthwise_flops(const Depthwise& weights, FeatureMap<const float> out) {
    return 2 * static_cast<double>(out.elements() * weights.spec.kernel * weights.spec.kernel);
  }
  void product(std::string_view name, View<const float> in, const Linear& weights,
               View<const float> out) {
    assert(in.rows == out.rows);
    sink_({name, static_cast<double>(in.rows) * flops(weights), size(weights),
           bytes(in) + bytes(out)});
  }

  FormatChoice formats_;
  double weight_bytes_ = 0;
  Sink sink_;
};

using Plan = WithoutData<IgnoreOperations>;
using Trace = WithoutData<ListOperations>;

static_assert(Backend<Plan> && Backend<Trace>);

}  // namespace fvlm
