// Layer norm and RMS norm of one row. A row fits L1, so the mean, the variance around it and the
// result are three plain passes: no cancellation, and still bandwidth-bound.
#include "kernels/cpu/simd/simd.hpp"
#include "kernels/cpu/simd/targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd/norm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>

#include "kernels/cpu/simd/math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace fvlm::simd {
namespace HWY_NAMESPACE {

void layer_norm_row(const float* x, const float* weight, const float* bias, float eps, float* out,
                    std::int64_t channels) {
  const auto count = static_cast<float>(channels);
  V sum = zero();
  for_each_vector(channels, [&](std::int64_t i, auto part)
                                FVLM_LAMBDA { sum = hn::Add(sum, part.load(x + i)); });
  // The sum's rounding moves the mean a little; what is left of it after subtracting says how much.
  const V rough_mean = broadcast(sum_of_lanes(sum) / count);
  V rest = zero();
  V squares = zero();
  for_each_vector(channels, [&](std::int64_t i, auto part) FVLM_LAMBDA {
    const V centered = part.select(hn::Sub(part.load(x + i), rough_mean), zero());
    rest = hn::Add(rest, centered);
    squares = hn::MulAdd(centered, centered, squares);
  });
  const float correction = sum_of_lanes(rest) / count;
  const V mean = hn::Add(rough_mean, broadcast(correction));
  const float variance = sum_of_lanes(squares) / count - correction * correction;
  const V scale = broadcast(1.0F / std::sqrt(variance + eps));
  for_each_vector(channels, [&](std::int64_t i, auto part) FVLM_LAMBDA {
    const V normal = hn::Mul(hn::Sub(part.load(x + i), mean), scale);
    part.store(hn::MulAdd(normal, part.load(weight + i), part.load(bias + i)), out + i);
  });
}

void rms_norm_row(const float* x, const float* weight, float eps, float* out,
                  std::int64_t channels) {
  V squares = zero();
  for_each_vector(channels, [&](std::int64_t i, auto part) FVLM_LAMBDA {
    const V v = part.load(x + i);
    squares = hn::MulAdd(v, v, squares);
  });
  const float mean = sum_of_lanes(squares) / static_cast<float>(channels);
  const V scale = broadcast(1.0F / std::sqrt(mean + eps));
  for_each_vector(channels, [&](std::int64_t i, auto part) FVLM_LAMBDA {
    part.store(hn::Mul(hn::Mul(part.load(x + i), scale), part.load(weight + i)), out + i);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace fvlm::simd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fvlm::simd {

HWY_EXPORT(layer_norm_row);
HWY_EXPORT(rms_norm_row);

void layer_norm(const float* x, const float* weight, const float* bias, float eps, float* out,
                std::int64_t channels) {
  HWY_DYNAMIC_DISPATCH(layer_norm_row)(x, weight, bias, eps, out, channels);
}

void rms_norm(const float* x, const float* weight, float eps, float* out, std::int64_t channels) {
  HWY_DYNAMIC_DISPATCH(rms_norm_row)(x, weight, eps, out, channels);
}

}  // namespace fvlm::simd
#endif  // HWY_ONCE
