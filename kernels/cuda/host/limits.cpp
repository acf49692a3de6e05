// The product is cuBLAS's where that is there: a limit must not be our own kernels' speed.
#include "kernels/cuda/host/limits.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "fvlm/core/element.hpp"
#include "kernels/cuda/primitives/memory.hpp"
#include "kernels/cuda/primitives/stream.hpp"
#include "kernels/support/make_error.hpp"

#ifdef FVLM_HAS_CUBLAS
#include <cublas_v2.h>
#else
#include "kernels/cuda/gemm/gemm.hpp"
#endif

namespace fvlm {
namespace {

constexpr Target kDevice = Target::kDevice;
constexpr std::int64_t kSide = 8192;  // of the product's matrices, 134 MB each

using Matrix = DeviceBuffer<kDevice>;

#ifdef FVLM_HAS_CUBLAS
class Product {
 public:
  explicit Product(Stream<kDevice>& stream) {
    check(cublasCreate(&handle_), "cublasCreate");
    check(cublasSetStream(handle_, stream.handle()), "cublasSetStream");
  }
  ~Product() { cublasDestroy(handle_); }
  Product(const Product&) = delete;
  Product& operator=(const Product&) = delete;

  void run(const Matrix& a, const Matrix& b, const Matrix& c) {
    const float one = 1;
    const float zero = 0;
    const int n = static_cast<int>(kSide);
    check(cublasGemmEx(handle_, CUBLAS_OP_T, CUBLAS_OP_N, n, n, n, &one, a.as<void>(), CUDA_R_16BF,
                       n, b.as<void>(), CUDA_R_16BF, n, &zero, c.as<void>(), CUDA_R_16BF, n,
                       CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
          "cublasGemmEx");
  }

 private:
  static void check(cublasStatus_t status, const char* call) {
    if (status != CUBLAS_STATUS_SUCCESS)
      throw make_error("{}: {}", call, cublasGetStatusString(status));
  }

  cublasHandle_t handle_ = nullptr;
};
#else
class Product {
 public:
  explicit Product(Stream<kDevice>& stream) : stream_(stream) {}

  void run(const Matrix& a, const Matrix& b, const Matrix& c) {
    const auto view = [](const Matrix& m) {
      return View<BFloat16>{m.as<BFloat16>(), kSide, kSide, kSide};
    };
    LinearKernels<kDevice, BFloat16>::multiply(stream_, multiprocessors_,
                                               {.in = view(a), .weight = view(b), .out = view(c)});
  }

 private:
  Stream<kDevice>& stream_;
  int multiprocessors_ = device_properties<kDevice>().multiprocessors;
};
#endif

// Seconds of the fastest of some runs of work(), which puts something on the stream.
template <class Work>
double fastest(Stream<kDevice>& stream, const Work& work) {
  constexpr int kRuns = 12;
  Event<kDevice> begin;
  Event<kDevice> end;
  double best = 1e30;
  for (int run = 0; run < kRuns; ++run) {
    stream.record(begin);
    work();
    stream.record(end);
    end.synchronize();
    if (run >= 2) best = std::min(best, double{end.since(begin)} / 1e3);  // the first warm up
  }
  return best;
}

}  // namespace

GpuLimits measure_gpu_limits() {
  constexpr std::size_t kCopied = std::size_t{512} << 20;
  Stream<kDevice> stream;
  GpuLimits limits;
  {
    const std::size_t bytes = static_cast<std::size_t>(kSide * kSide) * sizeof(BFloat16);
    const Matrix a(bytes);
    const Matrix b(bytes);
    const Matrix c(bytes);
    stream.fill(a.as<std::byte>(), 0x3c, bytes);  // small numbers
    stream.fill(b.as<std::byte>(), 0x3c, bytes);
    Product product(stream);
    const double side = static_cast<double>(kSide);
    limits.bf16_flops = 2 * side * side * side / fastest(stream, [&] { product.run(a, b, c); });
    stream.synchronize();
  }
  const Matrix from(kCopied);
  const Matrix to(kCopied);
  stream.fill(from.as<std::byte>(), 1, kCopied);
  limits.bandwidth = 2 * static_cast<double>(kCopied) / fastest(stream, [&] {
                       stream.copy_on_device(to.as<std::byte>(), from.as<std::byte>(), kCopied);
                     });
  return limits;
}

}  // namespace fvlm
