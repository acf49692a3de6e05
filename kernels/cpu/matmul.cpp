#include "kernels/cpu/matmul.hpp"

#include <omp.h>

#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

#include "fvlm/core/buffer.hpp"
#include "fvlm/core/error.hpp"

namespace fvlm {
namespace {

using dnnl::memory;

// Rows for which packed weights are laid out; the order hardly depends on it.
constexpr std::int64_t kTypicalRows = 256;

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

memory::data_type type(bool bf16) {
  return bf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

// The matrix as stored: W^T [in, out], whose columns are the weight rows, unless it is stored so.
memory::desc stored_weights(const MatMulShape& s) {
  if (s.weight_rows_are_inputs)
    return {{s.in, s.out}, type(s.bf16), memory::dims{s.weight_stride, 1}};
  return {{s.in, s.out}, type(s.bf16), memory::dims{1, s.weight_stride}};
}

memory::desc bias_vector(const MatMulShape& s) {
  return {{1, s.out}, memory::data_type::f32, memory::dims{s.out, 1}};
}

dnnl::matmul::primitive_desc describe(const MatMulShape& s, const memory::desc& weights) {
  const memory::desc in({s.rows, s.in}, type(s.bf16), memory::dims{s.in_stride, 1});
  const memory::desc out({s.rows, s.out}, type(s.bf16_out), memory::dims{s.out_stride, 1});
  dnnl::post_ops after;
  if (s.accumulate) after.append_sum(1);
  dnnl::primitive_attr attributes;
  attributes.set_post_ops(after);
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
#if DNNL_VERSION_MAJOR >= 3
  if (s.bias) return {engine(), in, weights, bias_vector(s), out, attributes};
  return {engine(), in, weights, out, attributes};
#else
  if (s.bias) return {dnnl::matmul::desc(in, weights, bias_vector(s), out), attributes, engine()};
  return {dnnl::matmul::desc(in, weights, out), attributes, engine()};
#endif
}

memory::desc packed_weights(std::int64_t in, std::int64_t out, bool bf16) {
  const MatMulShape typical{.rows = kTypicalRows,
                            .in = in,
                            .out = out,
                            .in_stride = in,
                            .out_stride = out,
                            .bf16 = bf16,
                            .bias = true};
  const memory::desc any({in, out}, type(bf16), memory::format_tag::any);
  return describe(typical, any).weights_desc();
}

// Limits oneDNN to the calling thread while it decides how to divide a product.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

class OneDnnMatMul final : public MatMul {
 public:
  explicit OneDnnMatMul(const MatMulShape& shape)
      : description_(describe(shape, shape.weight_stride == 0
                                         ? packed_weights(shape.in, shape.out, shape.bf16)
                                         : stored_weights(shape))),
        bias_(bias_vector(shape)),
        primitive_(description_) {}

  void run(const void* in, const void* weights, const float* bias, void* out) const override {
    thread_local dnnl::stream stream(engine());
    const auto wrap = [](const memory::desc& d, const void* p) {
      return memory(d, engine(), const_cast<void*>(p));
    };
    std::unordered_map<int, memory> arguments{
        {DNNL_ARG_SRC, wrap(description_.src_desc(), in)},
        {DNNL_ARG_WEIGHTS, wrap(description_.weights_desc(), weights)},
        {DNNL_ARG_DST, wrap(description_.dst_desc(), out)}};
    if (bias != nullptr) {
      arguments.emplace(DNNL_ARG_BIAS, wrap(bias_, bias));
    }
    // The library's own scratch memory belongs to the thread that made the primitive; this one is
    // run by any.
    thread_local Buffer scratch;
    const memory::desc needed = description_.scratchpad_desc();
    if (scratch.bytes() < needed.get_size()) scratch = Buffer(needed.get_size());
    arguments.emplace(DNNL_ARG_SCRATCHPAD, wrap(needed, scratch.as<std::byte>()));
    primitive_.execute(stream, arguments);
  }

 private:
  dnnl::matmul::primitive_desc description_;
  memory::desc bias_;
  dnnl::matmul primitive_;
};

}  // namespace

bool has_native_bf16() {
  // The values of cpu_isa are sets of bits, so that a later instruction set includes an earlier.
  const auto have = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  const auto want = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_bf16);
  return (have & want) == want;
}

std::size_t packed_bytes(std::int64_t in, std::int64_t out, bool bf16) {
  return packed_weights(in, out, bf16).get_size();
}

void pack_weights(std::int64_t in, std::int64_t out, bool bf16, const void* rows, void* packed) {
  const MatMulShape stored{.in = in, .out = out, .weight_stride = in, .bf16 = bf16};
  memory from(stored_weights(stored), engine(), const_cast<void*>(rows));
  memory to(packed_weights(in, out, bf16), engine(), packed);
  dnnl::stream stream(engine());
  dnnl::reorder(from, to).execute(stream, from, to);
  stream.wait();
}

const MatMul& MatMulCache::get(const MatMulShape& shape) {
  const std::lock_guard lock(mutex_);
  auto& compiled = compiled_[shape];
  if (!compiled) {
    const OneThread limit;
    try {
      compiled = std::make_unique<const OneDnnMatMul>(shape);
    } catch (const dnnl::error& e) {
      throw Error("oneDNN cannot multiply {}x{} by {}x{}{}: {}", shape.rows, shape.in, shape.in,
                  shape.out, shape.bf16 ? " in bf16" : "", e.what());
    }
  }
  return *compiled;
}

}  // namespace fvlm
