// Backends without data. They check the shapes of every operation and count: Plan the bytes of
// weights, WorkCounter the operations with their arithmetic and memory traffic, PlanOf<B> the
// scratch memory that B needs for a pass, its operations' own and what the models ask for,
// GemmCounter the matrix products. `info`
// draws the model from them, the engine sizes its contexts with them, and benchmarks take their
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
#include <utility>
#include <vector>

#include "fvlm/core/element.hpp"
#include "fvlm/ops/backend.hpp"
#include "fvlm/ops/epilogue.hpp"
#include "fvlm/ops/host_memory.hpp"
#include "fvlm/ops/sampling.hpp"

namespace fvlm {

struct Operation {
  std::string_view name;
  double flops = 0;         // multiplications and additions counted as two
  double weight_bytes = 0;  // weights and cached keys and values
  double activation_bytes = 0;
};

// One matrix product of an operation, or the two of a feed-forward layer.
struct PlannedGemm {
  enum class Kind : std::uint8_t { kLinear, kFeedForward, kAttentionInput, kSwiglu, kLogits };
  Kind kind = Kind::kLinear;
  std::int64_t rows = 0;
  MatrixShape weights{};  // of a feed-forward layer fc1, whose transpose fc2 has the shape of
  Epilogue epilogue{};

  bool operator==(const PlannedGemm&) const = default;
};

// What becomes of the operations: `Element` is the type of activations, scratch() asks the arena
// for what an operation needs.
struct IgnoreOperations {
  using Element = float;

  void operator()(const Operation&) {}
  template <class Shape>
  static void scratch(Arena&, const Shape&) {}
};
template <ReportsScratch B>
struct AskForScratch {
  using Element = typename B::Element;
  const B* backend = nullptr;

  void operator()(const Operation&) {}
  template <class Shape>
  void scratch(Arena& arena, const Shape& shape) const {
    backend->scratch(arena, shape);
  }
};
struct ListOperations {
  using Element = float;
  std::vector<Operation> operations;

  void operator()(const Operation& operation) { operations.push_back(operation); }
  template <class Shape>
  static void scratch(Arena&, const Shape&) {}
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
  using Kind = PlannedGemm::Kind;

 public:
  using Element = typename Sink::Element;
  struct Linear {
    MatrixShape shape;

    std::int64_t weights() const { return shape.out * shape.in; }
    double bytes() const {
      return static_cast<double>(weights()) * shape.format.bytes_per_weight();
    }
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

  explicit WithoutData(const FormatChoice& formats = {}, Sink sink = {})
      : formats_(formats), sink_(std::move(sink)) {}

  const Sink& sink() const { return sink_; }
  static std::string description() { return "without data"; }
  // Bytes of all matrices packed so far; convolutions and norms hardly count beside them.
  std::int64_t weight_bytes() const { return static_cast<std::int64_t>(weight_bytes_); }

  static Context make_context(const ContextSize& = {}) {
    Context context;
    context.arena() = Arena::measuring();
    return context;
  }
  FeatureMap<const std::uint8_t> upload(Context& context, std::span<const Pixels> pictures,
                                        std::int64_t side) const {
    sink_.scratch(context.arena(), UploadShape{std::ssize(pictures), side});
    return {nullptr, std::ssize(pictures), side, side, 3};
  }
  static View<float> download(Context&, View<float> rows) { return rows; }
  static View<float> download(Context&, View<BFloat16> rows) {
    return {nullptr, rows.rows, rows.cols, rows.stride};
  }
  static bool can_sample(const SamplingParams&) { return true; }
  std::span<const std::int32_t> sample(Context& context, View<float> logits,
                                       std::span<const SamplingParams>) const {
    need(context, SampleShape{logits.rows, logits.cols});
    return {};
  }
  static void copy(Context&, View<const Element>, View<Element>) {}

  Linear pack(const LinearSpec& spec, const HostLinear& = {}) {
    const Linear linear{{spec.out(), spec.in, spec.rows, formats_.of(spec)}};
    weight_bytes_ += linear.bytes();
    return linear;
  }
  Depthwise pack(const DepthwiseSpec& spec, const HostDepthwise& = {}) const { return {spec}; }
  Stem pack(const StemSpec& spec, const HostStem& = {}) const { return {spec.out}; }
  Norm pack(const NormSpec& spec, const HostNorm& = {}) const { return {spec.channels}; }

  void stem(Context& context, FeatureMap<const std::uint8_t> pixels, const Stem& conv,
            const Depthwise& depthwise, FeatureMap<Element> out) {
    require(pixels.channels == 3 && pixels.batch == out.batch && conv.out == depthwise.spec.in &&
                depthwise.spec.out() == out.channels &&
                pixels.height == 2 * depthwise.spec.stride * out.height &&
                pixels.width == 2 * depthwise.spec.stride * out.width,
            "stem");
    const double half = static_cast<double>(pixels.batch * pixels.positions()) / 4;
    sink_({"stem", half * static_cast<double>(conv.out) * 54 + depthwise_flops(depthwise, out), 0,
           static_cast<double>(pixels.elements()) + bytes(out.matrix())});
    need(context, StemShape{pixels.batch, pixels.height, pixels.width, out.channels});
  }
  void depthwise(Context&, FeatureMap<const Element> in, const Depthwise& weights, Activation,
                 FeatureMap<Element> out) {
    check_filters(in, weights, out, "depthwise");
    sink_(
        {"depthwise", depthwise_flops(weights, out), 0, bytes(in.matrix()) + bytes(out.matrix())});
  }
  void linear(Context& context, View<const Element> in, const Linear& weights, Epilogue epilogue,
              View<Element> out) {
    require(in.rows == out.rows && weights.shape.out == out.cols, "linear");
    product<Element>("linear", in, weights, out);
    gemm({Kind::kLinear, in.rows, weights.shape, epilogue});
    need(context, LinearShape{in.rows, weights.shape});
  }
  void conv_ffn(Context& context, FeatureMap<const Element> in, const Depthwise& conv,
                const Linear& fc1, const Linear& fc2, FeatureMap<Element> out) {
    check_filters(in, conv, out, "conv_ffn");
    require(same(in, out) && fc1.shape.in == in.channels && fc2.shape.in == fc1.shape.out &&
                fc2.shape.out == out.channels,
            "conv_ffn");
    const double rows = static_cast<double>(in.batch * in.positions());
    sink_({"conv_ffn", depthwise_flops(conv, out) + rows * (flops(fc1) + flops(fc2)),
           fc1.bytes() + fc2.bytes(), bytes(in.matrix()) + bytes(out.matrix())});
    gemm({Kind::kFeedForward, in.batch * in.positions(), fc1.shape});
    need(context, ConvFfnShape{in.batch, in.height, in.width, fc1.shape, fc2.shape});
  }
  void layer_norm(Context&, View<const Element> in, const Norm& norm, View<Element> out) {
    require(same(in, out) && norm.channels == in.cols, "layer_norm");
    sink_({"layer_norm", 8 * static_cast<double>(in.rows * in.cols), 0, bytes(in) + bytes(out)});
  }
  void image_attention(Context& context, View<const Element> qkv, std::int64_t images,
                       std::int64_t head_dim, View<Element> out) {
    require(images > 0 && qkv.rows % images == 0 && out.rows == qkv.rows &&
                qkv.cols == 3 * out.cols && out.cols % head_dim == 0,
            "image_attention");
    const double tokens = static_cast<double>(qkv.rows / images);
    sink_({"image_attention", 4 * tokens * static_cast<double>(out.rows * out.cols), 0,
           bytes(qkv) + bytes(out)});
    need(context, ImageAttentionShape{images, qkv.rows / images, out.cols / head_dim, head_dim});
  }
  void squeeze_excite(Context& context, FeatureMap<const Element> in, const Linear& reduce,
                      const Linear& expand, FeatureMap<Element> out) {
    require(same(in, out) && reduce.shape.in == in.channels &&
                expand.shape.in == reduce.shape.out && expand.shape.out == out.channels,
            "squeeze_excite");
    sink_({"squeeze_excite", static_cast<double>(in.batch) * (flops(reduce) + flops(expand)),
           reduce.bytes() + expand.bytes(), bytes(in.matrix()) + bytes(out.matrix())});
    need(context, SqueezeExciteShape{in.batch, reduce.shape, expand.shape});
  }

  void embed(Context& context, std::span<const std::int32_t> ids, const Linear& table,
             View<Element> out) {
    require(out.rows == std::ssize(ids) && out.cols == table.shape.in, "embed");
    sink_({"embed", 0,
           static_cast<double>(std::ssize(ids) * table.shape.in) *
               table.shape.format.bytes_per_weight(),
           bytes(out)});
    need(context, EmbedShape{std::ssize(ids), table.shape});
  }
  void attention_input(Context& context, View<const Element> x, const Norm& norm, const Linear& qkv,
                       const AttentionShape& shape, const DecoderBatch& batch, std::int64_t layer,
                       Cache& cache, View<Element> query) {
    check_attention(query, shape, batch, layer, cache, "attention_input");
    require(norm.channels == x.cols && qkv.shape.in == x.cols && x.rows == query.rows &&
                qkv.shape.out == (shape.heads + 2 * shape.kv_heads) * shape.head_dim,
            "attention_input");
    product<Element>("attention_input", x, qkv, query);
    gemm({Kind::kAttentionInput, x.rows, qkv.shape});
    need(context, AttentionInputShape{x.rows, qkv.shape});
  }
  void attention(Context& context, View<const Element> query, const AttentionShape& shape,
                 const DecoderBatch& batch, std::int64_t layer, const Cache& cache,
                 View<Element> out) {
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
    need(context, CachedAttentionShape{shape, cache.tokens()});
  }
  void swiglu(Context& context, View<const Element> x, const Norm& norm, const Linear& gate_up,
              View<Element> out) {
    require(norm.channels == x.cols && gate_up.shape.out == 2 * out.cols && x.rows == out.rows,
            "swiglu");
    product<Element>("swiglu", x, gate_up, out);
    gemm({Kind::kSwiglu, x.rows, gate_up.shape});
    need(context, SwigluShape{x.rows, gate_up.shape});
  }
  void logits(Context& context, View<const Element> x, const Norm& norm, const Linear& head,
              View<float> out) {
    require(norm.channels == x.cols && head.shape.out == out.cols && x.rows == out.rows, "logits");
    product<float>("logits", x, head, out);
    gemm({Kind::kLogits, x.rows, head.shape});
    need(context, LogitsShape{x.rows, head.shape});
  }

  static Cache make_cache(const CacheShape& shape, const AttentionShape&) { return shape; }
  static void copy_page(Context&, Cache&, std::int32_t, std::int32_t) {}

 private:
  template <class Shape>
  void need(Context& context, const Shape& shape) const {
    const Arena::Scope scope(context.arena());
    sink_.scratch(context.arena(), shape);
  }
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
  static void check_filters(FeatureMap<const Element> in, const Depthwise& weights,
                            FeatureMap<const Element> out, std::string_view operation) {
    const DepthwiseSpec& spec = weights.spec;
    require(in.channels == spec.in && out.channels == spec.out() && in.batch == out.batch &&
                in.height == out.height * spec.stride && in.width == out.width * spec.stride,
            operation);
  }
  static void check_attention(View<const Element> query, const AttentionShape& shape,
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

  void gemm(const PlannedGemm& planned) {
    if constexpr (requires { sink_.gemm(planned); }) sink_.gemm(planned);
  }
  static double flops(const Linear& weights) { return 2 * static_cast<double>(weights.weights()); }
  static double depthwise_flops(const Depthwise& weights, FeatureMap<const Element> out) {
    return 2 * static_cast<double>(out.elements() * weights.spec.kernel * weights.spec.kernel);
  }
  template <class T>
  void product(std::string_view name, View<const Element> in, const Linear& weights,
               View<const T> out) {
    require(in.rows == out.rows && in.cols == weights.shape.in, name);
    sink_({name, static_cast<double>(in.rows) * flops(weights), weights.bytes(),
           bytes(in) + bytes(out)});
  }

  FormatChoice formats_;
  double weight_bytes_ = 0;
  Sink sink_;
};

struct ListGemms : IgnoreOperations {
  std::vector<PlannedGemm> gemms;

  void gemm(const PlannedGemm& planned) { gemms.push_back(planned); }
};

using Plan = WithoutData<IgnoreOperations>;
using WorkCounter = WithoutData<ListOperations>;
using GemmCounter = WithoutData<ListGemms>;
template <ReportsScratch B>
using PlanOf = WithoutData<AskForScratch<B>>;

static_assert(Backend<Plan> && Backend<WorkCounter>);

}  // namespace fvlm
