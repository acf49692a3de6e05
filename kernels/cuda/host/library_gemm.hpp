// cuBLASLt's GEMM, the yardstick of benchmarks. The library is loaded when it is asked for, and
// never linked: inference needs none of it, and programs start where it is not installed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/cuda/primitives/stream.hpp"

namespace fvlm {

class LibraryGemm {
 public:
  // C [m, n] = A [m, k] B [n, k]^T, row-major and contiguous, with sums in float32.
  struct Shape {
    std::int64_t m = 0;
    std::int64_t n = 0;
    std::int64_t k = 0;
    bool is_float = false;          // A and B; else bfloat16
    bool has_float_result = false;  // C
  };
  // The algorithms for a shape, as many as the library proposes, in its order and at most `most`.
  class Plan {
   public:
    virtual ~Plan() = default;
    virtual int algorithms() const = 0;
    virtual void run(int algorithm, Stream<Target::kDevice>& stream, const void* a, const void* b,
                     void* c) const = 0;
  };

  // Of the current device. Null if it cannot be loaded; `reason` says why.
  static std::unique_ptr<LibraryGemm> load(std::string& reason);
  virtual ~LibraryGemm() = default;
  virtual std::unique_ptr<Plan> plan(const Shape& shape, int most) const = 0;
};

}  // namespace fvlm
