#include "kernels/cpu/matmul.hpp"

#include <omp.h>

#include <algorithm>
#include <cassert>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

#include "fvlm/error.hpp"
#include "kernels/support/make_error.hpp"

namespace fvlm {
namespace {

using dnnl::memory;

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

// Limits oneDNN to the calling thread: while it decides how to divide a product, on which the order
// of packed weights depends, and while it multiplies.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

memory::desc fastest_order(std::int64_t in, std::int64_t out, bool bf16) {
  // The order hardly depends on the rows.
  const MatMulShape typical{.rows = 256,
                            .in = in,
                            .out = out,
                            .in_stride = in,
                            .out_stride = out,
                            .bf16 = bf16,
                            .bias = true};
  const OneThread limit;
  return describe(typical, {{in, out}, type(bf16), memory::format_tag::any}).weights_desc();
}

bool instruction_set_includes(dnnl::cpu_isa wanted) {
  // The values of cpu_isa are sets of bits, so that a later instruction set includes an earlier.
  const auto have = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  return (have & static_cast<unsigned>(wanted)) == static_cast<unsigned>(wanted);
}

}  // namespace

bool has_native_bf16() {
  return instruction_set_includes(dnnl::cpu_isa::avx512_core_bf16);
}

bool has_native_tiles() {
#ifdef __x86_64__
  return instruction_set_includes(dnnl::cpu_isa::avx512_core_amx);
#else
  return false;
#endif
}

int product_vector_bits() {
#ifdef __x86_64__
  if (instruction_set_includes(dnnl::cpu_isa::avx512_core)) return 512;
  return instruction_set_includes(dnnl::cpu_isa::avx2) ? 256 : 128;
#else
  return 0;
#endif
}

struct PackedMatrix::Layout {
  memory::desc order;
};

PackedMatrix::PackedMatrix(std::int64_t in, std::int64_t out, bool bf16, const void* rows) try
    : layout_(std::make_shared<const Layout>(fastest_order(in, out, bf16))),
      values_(layout_->order.get_size()) {
  const MatMulShape stored{.in = in, .out = out, .weight_stride = in, .bf16 = bf16};
  memory from(stored_weights(stored), engine(), const_cast<void*>(rows));
  memory to(layout_->order, engine(), values_.as<std::byte>());
  dnnl::stream stream(engine());
  dnnl::reorder(from, to).execute(stream, from, to);
  stream.wait();
} catch (const dnnl::error& e) {
  throw make_error("oneDNN cannot multiply by a matrix {}x{}{}: {}", in, out,
                   bf16 ? " in bf16" : "", e.what());
}

class MatMulCache::Product {
 public:
  Product(const MatMulShape& shape, const memory::desc& weights)
      : description_(describe(shape, weights)),
        bias_(bias_vector(shape)),
        primitive_(description_) {}

  bool reads(const memory::desc& weights) const { return description_.weights_desc() == weights; }

  void run(const void* in, const void* weights, const float* bias, void* out,
           std::span<std::byte> scratch) const {
    const OneThread limit;
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
    const memory::desc needed = description_.scratchpad_desc();
    thread_local Buffer more;  // for versions that need more than any known one
    if (needed.get_size() > std::max(scratch.size(), more.bytes()))
      more = Buffer(needed.get_size());
    void* const copies = needed.get_size() > scratch.size() ? more.as<std::byte>() : scratch.data();
    arguments.emplace(DNNL_ARG_SCRATCHPAD, wrap(needed, copies));
    primitive_.execute(stream, arguments);
  }

 private:
  dnnl::matmul::primitive_desc description_;
  memory::desc bias_;
  dnnl::matmul primitive_;
};

MatMulCache::MatMulCache() = default;
MatMulCache::~MatMulCache() = default;

const MatMulCache::Product& MatMulCache::product(const MatMulShape& shape,
                                                 const PackedMatrix* packed) {
  const std::lock_guard lock(mutex_);
  auto& compiled = compiled_[shape];
  if (packed != nullptr && !packed->layout_) throw Error("a matrix without numbers is multiplied");
  if (!compiled) {
    const OneThread limit;
    try {
      compiled = std::make_unique<const Product>(
          shape, packed != nullptr ? packed->layout_->order : stored_weights(shape));
    } catch (const dnnl::error& e) {
      throw make_error("oneDNN cannot multiply {}x{} by {}x{}{}: {}", shape.rows, shape.in,
                       shape.in, shape.out, shape.bf16 ? " in bf16" : "", e.what());
    }
  }
  if (packed != nullptr && !compiled->reads(packed->layout_->order)) {
    throw make_error("the product {}x{} by {}x{} reads weights in another order than these have",
                     shape.rows, shape.in, shape.in, shape.out);
  }
  return *compiled;
}

void MatMulCache::multiply(const MatMulShape& shape, const void* in, const void* weights,
                           const float* bias, void* out, std::span<std::byte> scratch) {
  assert(shape.weight_stride != 0);
  product(shape, nullptr).run(in, weights, bias, out, scratch);
}

void MatMulCache::multiply(const MatMulShape& shape, const void* in, const PackedMatrix& weights,
                           const float* bias, void* out, std::span<std::byte> scratch) {
  assert(shape.weight_stride == 0);
  product(shape, &weights).run(in, weights.values_.as<std::byte>(), bias, out, scratch);
}

}  // namespace fvlm
