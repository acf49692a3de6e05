// Backends without data. They check the shapes of every operation and count scratch memory (Plan),
// and keep a list of the operations with their arithmetic and memory traffic besides (Trace).
// `info` draws the model from them, the engine sizes its arena with them, and benchmarks take their
// rooflines from them. A shape that does not fit is a fault of the model's code: std::logic_error,
// in every build, since a pass without data costs nothing.
//
// Bytes are the least an ideal backend must move: weights once, inputs and outputs once, with the
// hidden layer of conv_ffn kept on the chip.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
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
    std::int64_t out = 0;
    std::int64_t in = 0;
    double weight_bytes = 0;  // of one weight
  };
  struct Depthwise {
    DepthwiseSpec spec;
  };
  struct Stem {
    std::int64_t out = 0;
  };
  struct Norm {
    std::int64_t channels = 0;
  };
  using Cache = CacheShape;

  explicit WithoutData(const FormatChoice& formats = {})
      : HostMemory(Arena::measuring()), formats_(formats) {}

  const Sink& sink() const { return sink_; }
  static std::string description() { return "without data"; }
  // Bytes of all matrices packed so far; convolutions and norms hardly count beside them.
  std::int64_t weight_bytes() const { return static_cast<std::int64_t>(weight_bytes_); }

  static void copy(View<const float>, View<float>) {}

  Linear pack(const LinearSpec& spec, const HostLinear& = {}) {
    const Linear linear{spec.out(), spec.in, formats_.of(spec).bytes_per_weight()};
    weight_bytes_ += size(linear);
    return linear;
  }
  Depthwise pack(const DepthwiseSpec& spec, const HostDepthwise& = {}) const { return {spec}; }
  Stem pack(const StemSpec& spec, const HostStem& = {}) const { return {spec.out}; }
  Norm pack(const NormSpec& spec, const HostNorm& = {}) const { return {spec.channels}; }

  void stem(FeatureMap<const std::uint8_t> pixels, const Stem& conv, const Depthwise& depthwise,
            FeatureMap<float> out) {
    require(pixels.channels == 3 && pixels.batch == out.batch && conv.out == depthwise.spec.in &&
                depthwise.spec.out() == out.channels &&
                pixels.height == 2 * depthwise.spec.stride * out.height &&
                pixels.width == 2 * depthwise.spec.stride * out.width,
            "stem");
    const double half = static_cast<double>(pixels.batch * pixels.positions()) / 4;
    sink_({"stem", half * static_cast<double>(conv.out) * 54 + depthwise_flops(depthwise, out), 0,
           static_cast<double>(pixels.elements()) + bytes(out.matrix())});
  }
  void depthwise(FeatureMap<const float> in, const Depthwise& weights, Activation,
                 FeatureMap<float> out) {
    check_filters(in, weights, out, "depthwise");
    sink_(
        {"depthwise", depthwise_flops(weights, out), 0, bytes(in.matrix()) + bytes(out.matrix())});
  }
  void linear(View<const float> in, const Linear& weights, Epilogue, View<float> out) {
    require(in.rows == out.rows && weights.out == out.cols, "linear");
    product("linear", in, weights, out);
  }
  void conv_ffn(FeatureMap<const float> in, const Depthwise& conv, const Linear& fc1,
                const Linear& fc2, FeatureMap<float> out) {
    check_filters(in, conv, out, "conv_ffn");
    require(same(in, out) && fc1.in == in.channels && fc2.in == fc1.out && fc2.out == out.channels,
            "conv_ffn");
    const double rows = static_cast<double>(in.batch * in.positions());
    sink_({"conv_ffn", depthwise_flops(conv, out) + rows * (flops(fc1) + flops(fc2)),
           size(fc1) + size(fc2), bytes(in.matrix()) + bytes(out.matrix())});
  }
  void layer_norm(View<const float> in, const Norm& norm, View<float> out) {
    require(same(in, out) && norm.channels == in.cols, "layer_norm");
    sink_({"layer_norm", 8 * static_cast<double>(in.rows * in.cols), 0, bytes(in) + bytes(out)});
  }
  void image_attention(View<const float> qkv, std::int64_t images, std::int64_t head_dim,
                       View<float> out) {
    require(images > 0 && qkv.rows % images == 0 && out.rows == qkv.rows &&
                qkv.cols == 3 * out.cols && out.cols % head_dim == 0,
            "image_attention");
    const double tokens = static_cast<double>(qkv.rows / images);
    sink_({"image_attention", 4 * tokens * static_cast<double>(out.rows * out.cols), 0,
           bytes(qkv) + bytes(out)});
  }
  void squeeze_excite(FeatureMap<const float> in, const Linear& reduce, const Linear& expand,
                      FeatureMap<float> out) {
    require(same(in, out) && reduce.in == in.channels && expand.in == reduce.out &&
                expand.out == out.channels,
            "squeeze_excite");
    sink_({"squeeze_excite", static_cast<double>(in.batch) * (flops(reduce) + flops(expand)),
           size(reduce) + size(expand), bytes(in.matrix()) + bytes(out.matrix())});
  }

  void embed(std::span<const std::int32_t> ids, const Linear& table, View<float> out) {
    require(out.rows == std::ssize(ids) && out.cols == table.in, "embed");
    sink_({"embed", 0, static_cast<double>(std::ssize(ids) * table.in) * table.weight_bytes,
           bytes(out)});
  }
  void attention_input(View<const float> x, const Norm& norm, const Linear& qkv,
                       const AttentionShape& shape, const DecoderBatch& batch, std::int64_t layer,
                       Cache& cache, View<float> query) {
    check_attention(query, shape, batch, layer, cache, "attention_input");
    require(norm.channels == x.cols && qkv.in == x.cols && x.rows == query.rows &&
                qkv.out == (shape.heads + 2 * shape.kv_heads) * shape.head_dim,
            "attention_input");
    product("attention_input", x, qkv, query);
  }
  void attention(View<const float> query, const AttentionShape& shape, const DecoderBatch& batch,
                 std::int64_t layer, const Cache& cache, View<float> out) {
    check_attention(query, shape, batch, layer, cache, "attention");
    require(same(query, out), "attention");
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
  void swiglu(View<const float> x, const Norm& norm, const Linear& gate_up, View<float> out) {
    require(norm.channels == x.cols && gate_up.out == 2 * out.cols && x.rows == out.rows, "swiglu");
    product("swiglu", x, gate_up, out);
  }
  void logits(View<const float> x, const Norm& norm, const Linear& head, View<float> out) {
    require(norm.channels == x.cols && head.out == out.cols && x.rows == out.rows, "logits");
    product("logits", x, head, out);
  }

  Cache make_cache(const CacheShape& shape) const { return shape; }
  void copy_page(Cache&, std::int32_t, std::int32_t) const {}

 private:
  template <class T>
  static double bytes(View<T> view) {
    return static_cast<double>(view.rows * view.cols) * sizeof(T);
  }
  static void require(bool fits, std::string_view operation) {
    if (!fits) throw std::logic_error(std::string(operation) + ": shapes do not fit together");
  }
  template <class T, class U>
  static bool same(View<T> a, View<U> b) {
    return a.rows == b.rows && a.cols == b.cols;
  }
  template <class T, class U>
  static bool same(FeatureMap<T> a, FeatureMap<U> b) {
    return a.batch == b.batch && a.height == b.height && a.width == b.width &&
           a.channels == b.channels;
  }
  static void check_filters(FeatureMap<const float> in, const Depthwise& weights,
                            FeatureMap<const float> out, std::string_view operation) {
    const DepthwiseSpec& spec = weights.spec;
    require(in.channels == spec.in && out.channels == spec.out() && in.batch == out.batch &&
                in.height == out.height * spec.stride && in.width == out.width * spec.stride,
            operation);
  }
  static void check_attention(View<const float> query, const AttentionShape& shape,
                              const DecoderBatch& batch, std::int64_t layer,
                              const CacheShape& cache, std::string_view operation) {
    require(query.rows == batch.rows() && query.cols == shape.heads * shape.head_dim &&
                shape.heads % shape.kv_heads == 0,
            operation);
    // A pass that only measures has no cache.
    require(cache.layers == 0 || (layer < cache.layers && cache.kv_heads == shape.kv_heads &&
                                  cache.head_dim == shape.head_dim),
            operation);
  }

  static double flops(const Linear& weights) {
    return 2 * static_cast<double>(weights.out * weights.in);
  }
  static double size(const Linear& weights) {
    return static_cast<double>(weights.out * weights.in) * weights.weight_bytes;
  }
  static double depthwise_flops(const Depthwise& weights, FeatureMap<const float> out) {
    return 2 * static_cast<double>(out.elements() * weights.spec.kernel * weights.spec.kernel);
  }
  void product(std::string_view name, View<const float> in, const Linear& weights,
               View<const float> out) {
    require(in.rows == out.rows && in.cols == weights.in, name);
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
