// Multiplications and additions on registers alone, as many as the processor can have in flight.
#include "kernels/cpu/simd/targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd/peak.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/simd/math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace fvlm::simd {
namespace HWY_NAMESPACE {

std::int64_t multiply_adds(std::int64_t rounds, float* result) {
  constexpr int kSums = kRegisters * 3 / 4;
  const V factor = broadcast(0.5F);
  const V summand = broadcast(1);
  V sums[kSums];
  FVLM_UNROLL for (int i = 0; i < kSums; ++i) sums[i] = broadcast(static_cast<float>(i));
  for (std::int64_t round = 0; round < rounds; ++round) {
    FVLM_UNROLL for (int i = 0; i < kSums; ++i) sums[i] = hn::MulAdd(sums[i], factor, summand);
  }
  FVLM_UNROLL for (int i = 1; i < kSums; ++i) sums[0] = hn::Add(sums[0], sums[i]);
  *result = sum_of_lanes(sums[0]);
  return rounds * kSums * kLanes;
}

}  // namespace HWY_NAMESPACE
}  // namespace fvlm::simd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fvlm::simd {

HWY_EXPORT(multiply_adds);

std::int64_t multiply_adds(std::int64_t rounds, float* result) {
  return HWY_DYNAMIC_DISPATCH(multiply_adds)(rounds, result);
}

}  // namespace fvlm::simd
#endif  // HWY_ONCE
