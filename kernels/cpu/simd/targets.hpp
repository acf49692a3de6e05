// Which instruction sets the SIMD kernels are compiled for. Included before any Highway header by
// every file that has kernels, and by the test that goes through all of them.
//   x86: AVX3 (AVX-512), AVX2, SSE4 and the fallback. SSE4 is kept mostly because it lets x86
//        machines test the code for four lanes, which is what NEON runs.
//   Arm: NEON and the fallback.
#pragma once

// The sets beyond AVX3 add nothing these kernels use, and SSSE3 is older than any machine of
// interest: without them compiling takes half the time. SVE vectors cannot be in arrays, which
// the register tiles are.
#define HWY_DISABLED_TARGETS                                                      \
  ((HWY_AVX3 - 1) | HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | \
   FVLM_LEFT_OUT_FOR_SANITIZERS)

// Instrumented, a file of unrolled kernels takes minutes to compile for each instruction set; one
// is enough to see an access out of bounds, and the plain build tests them all.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FVLM_LEFT_OUT_FOR_SANITIZERS (HWY_AVX3 | HWY_SSE4)
#else
#define FVLM_LEFT_OUT_FOR_SANITIZERS 0
#endif
