// The product is cuBLASLt's where that is there: a limit must not be our own kernels' speed.
#include "kernels/cuda/host/limits.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "fvlm/core/element.hpp"
#include "kernels/cuda/gemm/gemm.hpp"
#include "kernels/cuda/host/library_gemm.hpp"
#include "kernels/cuda/primitives/memory.hpp"
#include "kernels/cuda/primitives/stream.hpp"

namespace fvlm {
namespace {

constexpr Target kDevice = Target::kDevice;
constexpr std::int64_t kSide = 8192;  // of the product's matrices, 134 MB each

using Matrix = DeviceBuffer<kDevice>;

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

// Of the fastest of the library's first algorithms, or of our own kernel if there is no library.
double product_seconds(Stream<kDevice>& stream, const Matrix& a, const Matrix& b, const Matrix& c) {
  constexpr int kMostAlgorithms = 8;
  std::string reason;
  if (const auto library = LibraryGemm::load(reason)) {
    const auto plan = library->plan({kSide, kSide, kSide}, kMostAlgorithms);
    double best = 1e30;
    for (int i = 0; i < plan->algorithms(); ++i) {
      best = std::min(best, fastest(stream, [&] {
                        plan->run(i, stream, a.as<void>(), b.as<void>(), c.as<void>());
                      }));
    }
    if (plan->algorithms() > 0) return best;
  }
  const DeviceProperties device = device_properties<kDevice>();
  const auto view = [](const Matrix& m) {
    return View<BFloat16>{m.as<BFloat16>(), kSide, kSide, kSide};
  };
  return fastest(stream, [&] {
    LinearKernels<kDevice, BFloat16>::multiply(
        stream, {device.major, device.multiprocessors, device.shared_bytes},
        {.in = view(a),
         .weight = view(b),
         .bias = nullptr,
         .activation = Activation::kNone,
         .residual = {},
         .out = view(c)});
  });
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
    const double side = static_cast<double>(kSide);
    limits.bf16_flops = 2 * side * side * side / product_seconds(stream, a, b, c);
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
