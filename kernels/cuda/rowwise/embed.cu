// Kernels that move and scale rows: embedding, RMS norm, copies of KV cache pages.
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/dequantise.hpp"
#include "kernels/cuda/primitives/launch.hpp"
#include "kernels/cuda/primitives/portable.hpp"
#include "kernels/cuda/primitives/rms_norm.hpp"
#include "kernels/cuda/rowwise/rowwise.hpp"

namespace fvlm::FVLM_CUDA_TARGET {
namespace {

constexpr int kThreads = 256;

// A block for each id.
template <class E, WeightType kType>
__global__ void __launch_bounds__(kThreads)
    embed(const std::int32_t* ids, DeviceMatrix table, E* out, std::int64_t stride) {
  using W = Weights<kType>;
  check_launch_bounds<kThreads>();
  wait_for_previous_kernel();
  allow_next_kernel();
  const std::int64_t id = ids[blockIdx.x];
  const std::byte* const row = table.weight + id * table.row_bytes;
  E* const to = out + blockIdx.x * stride;
  const int vectors = table.row_bytes / 16;
  for (int v = static_cast<int>(threadIdx.x); v < vectors; v += kThreads) {
    const WeightWords words = load16(reinterpret_cast<const std::uint32_t*>(row) + 4 * v);
#pragma unroll
    for (int n = 0; n < W::kRuns; ++n) {
      const int first = W::input(v, n);
      float scale = 1;
      if constexpr (W::kQuantised) {
        const int group = table.format.group;
        scale = to_float(table.scales[id * (vectors * W::kCount / group) + first / group]);
      }
      float w[W::kRun];
      W::unpack(words, n, w);
#pragma unroll
      for (int i = 0; i < W::kRun; ++i) {
        if (first + i < table.in) to[first + i] = from_float<E>(w[i] * scale);
      }
    }
  }
}

// A block for each row. The kernel behind is a GEMM, which asks for its first weights meanwhile.
template <class E>
__global__ void __launch_bounds__(kThreads)
    rms_norm(const E* x, std::int64_t x_stride, int channels, DeviceNorm norm, E* out,
             std::int64_t out_stride, bool aligned) {
  static_assert(kThreads == 32 * kNormParts);
  struct Shared {
    float parts[kNormParts];
  };
  check_launch_bounds<kThreads>();
  auto& shared = static_shared<Shared>();
  wait_for_previous_kernel();
  allow_next_kernel();
  const E* const from = x + blockIdx.x * x_stride;
  E* const to = out + blockIdx.x * out_stride;
  const int warp = static_cast<int>(warp_id());
  const float part = norm_part(from, channels, aligned, warp);
  if (lane_id() == 0) shared.parts[warp] = part;
  __syncthreads();
  const float scale = norm_scale(shared.parts, channels, norm.eps);
  for (int c = static_cast<int>(threadIdx.x) * kNormVector; c < channels;
       c += kThreads * kNormVector) {
    float values[kNormVector];
    load_normalised(from, c, channels, aligned, scale, norm.weight, values);
    store8(to + c, aligned, channels - c, values);
  }
}

// Block y is a layer.
__global__ void __launch_bounds__(kThreads)
    copy_page(const std::uint32_t* from, std::uint32_t* to, std::int64_t vectors,
              std::int64_t layer_words) {
  check_launch_bounds<kThreads>();
  wait_for_previous_kernel();
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const std::int64_t at = blockIdx.y * layer_words + 4 * i;
  if (i < vectors) store16(to + at, load16(from + at));
}

}  // namespace
}  // namespace fvlm::FVLM_CUDA_TARGET

namespace fvlm {

namespace target = FVLM_CUDA_TARGET;
using target::kTarget;
using target::kThreads;
using target::launch;
using target::Launch;

template <Target t, class E>
void EmbedKernels<t, E>::embed(Stream<t>& stream, const std::int32_t* ids,
                               const DeviceMatrix& table, View<E> out) {
  target::for_weight_type(table.format.type, [&](auto type) {
    launch<target::embed<E, type()>>(
        Launch{.grid = out.rows, .block = kThreads, .stream = stream, .overlap_previous = true},
        ids, table, out.data, out.stride);
  });
}

template <Target t, class E>
void EmbedKernels<t, E>::rms_norm(Stream<t>& stream, View<const E> x, const DeviceNorm& norm,
                                  View<E> out) {
  launch<target::rms_norm<E>>(
      Launch{.grid = x.rows, .block = kThreads, .stream = stream, .overlap_previous = true}, x.data,
      x.stride, static_cast<int>(x.cols), norm, out.data, out.stride,
      target::is_aligned(x.data, x.stride) && target::is_aligned(out.data, out.stride));
}

template <Target t, class E>
void EmbedKernels<t, E>::copy_page(Stream<t>& stream, const std::byte* from, std::byte* to,
                                   std::int64_t bytes, std::int64_t layers,
                                   std::int64_t layer_bytes) {
  const std::int64_t vectors = bytes / 16;
  launch<target::copy_page>(Launch{.grid = {(vectors + kThreads - 1) / kThreads, layers},
                                   .block = kThreads,
                                   .stream = stream},
                            reinterpret_cast<const std::uint32_t*>(from),
                            reinterpret_cast<std::uint32_t*>(to), vectors, layer_bytes / 4);
}

template struct EmbedKernels<kTarget, float>;
template struct EmbedKernels<kTarget, BFloat16>;

}  // namespace fvlm
