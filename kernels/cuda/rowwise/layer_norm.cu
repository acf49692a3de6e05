// One warp a row, eight channels at a time; a row is read three times, the second and third time
// from L1.
#include "fvlm/core/element.hpp"
#include "kernels/cuda/primitives/block.hpp"
#include "kernels/cuda/primitives/launch.hpp"
#include "kernels/cuda/primitives/reduce.hpp"
#include "kernels/cuda/primitives/row_access.hpp"
#include "kernels/cuda/rowwise/rowwise.hpp"

namespace fvlm::FVLM_CUDA_TARGET {
namespace {

constexpr int kThreads = 256;
constexpr int kRowsOfBlock = kThreads / 32;

template <class E>
__global__ void __launch_bounds__(kThreads)
    layer_norm(const E* in, std::int64_t in_stride, const float* weight, const float* bias,
               float eps, E* out, std::int64_t out_stride, std::int64_t rows, int channels,
               bool aligned) {
  check_launch_bounds<kThreads>();
  wait_for_previous_kernel();
  allow_next_kernel();
  const std::int64_t row = std::int64_t{blockIdx.x} * kRowsOfBlock + warp_id();
  if (row >= rows) return;
  const E* const from = in + row * in_stride;
  // Calls work(first channel, values, count) for the lane's pieces.
  const auto for_pieces = [&](const auto& work) {
    for (int c = static_cast<int>(lane_id()) * 8; c < channels; c += 32 * 8) {
      float x[8];
      load8(from + c, aligned, channels - c, x);
      work(c, x, channels - c < 8 ? channels - c : 8);
    }
  };
  float sum = 0;
  for_pieces([&](int, const float(&x)[8], int) {
#pragma unroll
    for (int i = 0; i < 8; ++i) sum += x[i];
  });
  const float mean = warp_sum(sum) / static_cast<float>(channels);
  float squares = 0;
  for_pieces([&](int, const float(&x)[8], int count) {
#pragma unroll
    for (int i = 0; i < 8; ++i) squares += i < count ? (x[i] - mean) * (x[i] - mean) : 0.0F;
  });
  const float variance = warp_sum(squares) / static_cast<float>(channels);
  const float scale = 1.0F / sqrtf(variance + eps);
  for_pieces([&](int c, float(&x)[8], int count) {
    float gain[8];
    float shift[8];
    load8(weight + c, true, count, gain);
    load8(bias + c, true, count, shift);
#pragma unroll
    for (int i = 0; i < 8; ++i) x[i] = (x[i] - mean) * scale * gain[i] + shift[i];
    store8(out + row * out_stride + c, aligned, count, x);
  });
}

}  // namespace
}  // namespace fvlm::FVLM_CUDA_TARGET

namespace fvlm {

namespace target = FVLM_CUDA_TARGET;
using target::kTarget;

template <Target t, class E>
void NormKernels<t, E>::layer_norm(Stream<t>& stream, View<const E> in, const float* weight,
                                   const float* bias, float eps, View<E> out) {
  target::launch<target::layer_norm<E>>(
      target::Launch{.grid = (in.rows + target::kRowsOfBlock - 1) / target::kRowsOfBlock,
                     .block = target::kThreads,
                     .stream = stream,
                     .overlap_previous = true},
      in.data, in.stride, weight, bias, eps, out.data, out.stride, in.rows,
      static_cast<int>(in.cols),
      target::is_aligned(in.data, in.stride) && target::is_aligned(out.data, out.stride));
}

template struct NormKernels<kTarget, float>;
template struct NormKernels<kTarget, BFloat16>;

}  // namespace fvlm
