// What the tests of the decoder's kernels share: operands on the device beside those of Ref, for
// each type of activations, in the emulator and, where there is one, on a device.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/gemm/token_products.hpp"
#include "kernels/cuda/primitives/memory.hpp"
#include "kernels/cuda/primitives/operands.hpp"
#include "kernels/cuda/primitives/stream.hpp"
#include "kernels/emulator/device.hpp"
#include "kernels/ref/ref.hpp"
#include "tests/kernels/cuda/modes.hpp"

namespace fvlm {

inline View<float> rows_of(std::vector<float>& values, std::int64_t rows) {
  const std::int64_t cols = std::ssize(values) / rows;
  return {values.data(), rows, cols, cols};
}

template <class Mode>
class CudaDecoderTest : public testing::Test {
 protected:
  static constexpr Target kTarget = Mode::kTarget;
  using E = typename Mode::E;
  using Token = TokenKernels<kTarget, E>;
  static constexpr double kTolerance = sizeof(E) == 2 ? 1e-2 : 1e-5;

  struct Matrix {
    Ref::Linear plain;
    DeviceMatrix device;
  };
  struct Norm {
    Ref::Norm plain;
    DeviceNorm device;
  };

  void SetUp() override {
    if (device_count<kTarget>() == 0) GTEST_SKIP() << "no CUDA device";
    stream_.emplace();
  }

  // Calls test(device, pass) for each way to multiply tokens: decode steps, prompts, and prompts by
  // wgmma.
  template <class Test>
  void each_product(const Test& test) {
    {
      SCOPED_TRACE("decode");
      test(kAnywhere, TokenPass::kDecode);
    }
    {
      SCOPED_TRACE("prefill");
      test(kAnywhere, TokenPass::kPrefill);
    }
    const emulator::OnDevice large(emulator::kLargeDevice);
    if (sizeof(E) != 2 || device_properties<kTarget>().major != 9) return;
    SCOPED_TRACE("prefill on compute capability 9.0");
    test(kHopper, TokenPass::kPrefill);
  }
  static constexpr DeviceShape kAnywhere{.major = 8, .multiprocessors = 4};
  // With so few multiprocessors that blocks have several tiles.
  static constexpr DeviceShape kHopper{.major = 9, .multiprocessors = 3};

  // Memory of the device that lives as long as the test.
  template <class T>
  T* upload(const std::vector<T>& host) {
    auto& buffer = buffers_.emplace_back(host.size() * sizeof(T));
    stream_->copy_to_device(buffer.template as<T>(), host.data(), buffer.bytes());
    stream_->synchronize();
    return buffer.template as<T>();
  }
  template <class T>
  std::vector<T> download(const T* from, std::int64_t count) {
    std::vector<T> host(static_cast<std::size_t>(count));
    stream_->copy_to_host(host.data(), from, host.size() * sizeof(T));
    stream_->synchronize();
    return host;
  }

  // Scratch memory for up to so many rows, which are normalised to `normed`.
  typename Token::Scratch scratch_of(std::int64_t rows, const Matrix& matrix, View<E> normed = {}) {
    const MatrixShape shape{matrix.device.out, matrix.device.in, fvlm::Rows::kTokens,
                            matrix.device.format};
    const auto floats = Token::linear_floats(rows, shape);
    const std::vector<float> sums(static_cast<std::size_t>(floats), std::nanf(""));
    return {normed, {upload(sums), counters()}};
  }
  // Zeros, which each GEMM leaves as zeros.
  unsigned* counters() {
    if (counters_ == nullptr) {
      counters_ = upload(std::vector<unsigned>(static_cast<std::size_t>(SplitSums::kCounters)));
    }
    return counters_;
  }

  std::vector<float> random(std::int64_t count, float scale = 1) {
    std::vector<float> values(static_cast<std::size_t>(count));
    std::normal_distribution<float> normal(0, scale);
    for (float& v : values) v = normal(random_);
    return values;
  }
  // Random activations, as E holds them.
  std::vector<float> activations(std::int64_t count, float scale = 1) {
    auto values = random(count, scale);
    for (float& v : values) v = static_cast<float>(static_cast<E>(v));
    return values;
  }
  // Rows on the device, `padding` elements longer than their content, which are NaNs.
  View<E> rows(const std::vector<float>& values, std::int64_t count, std::int64_t padding = 0) {
    const std::int64_t cols = std::ssize(values) / count;
    std::vector<E> all(static_cast<std::size_t>(count * (cols + padding)),
                       static_cast<E>(std::nanf("")));
    for (std::int64_t i = 0; i < std::ssize(values); ++i) {
      all[static_cast<std::size_t>(i / cols * (cols + padding) + i % cols)] =
          static_cast<E>(values[static_cast<std::size_t>(i)]);
    }
    return {upload(all), count, cols, cols + padding};
  }
  // The content of rows on the device.
  template <class T>
  std::vector<float> content(View<T> view) {
    const auto all = download(view.data, view.rows * view.stride);
    std::vector<float> values;
    for (std::int64_t r = 0; r < view.rows; ++r) {
      for (std::int64_t c = 0; c < view.cols; ++c) {
        values.push_back(static_cast<float>(all[static_cast<std::size_t>(r * view.stride + c)]));
      }
    }
    return values;
  }
  std::vector<float> nothing(std::int64_t count) const {
    return std::vector<float>(static_cast<std::size_t>(count), std::nanf(""));
  }

  Matrix matrix(std::int64_t in, std::int64_t out, const WeightFormat& format, bool bias = false) {
    const LinearSpec spec{
        .in = in, .parts = {{"", out}}, .bias = bias, .rows = fvlm::Rows::kTokens};
    const auto values = random(out * in, 1 / std::sqrt(static_cast<float>(in)));
    HostLinear host{.out = out, .in = in};
    host.blocks.push_back({DType::kF32, reinterpret_cast<const std::byte*>(values.data()), out});
    if (bias) host.bias = random(out);
    Matrix matrix{Ref(format).pack(spec, host), {}};
    const std::int64_t row_bytes = DeviceMatrix::bytes_of_row(format, in);
    std::vector<std::byte> words(static_cast<std::size_t>(out * row_bytes));
    std::vector<BFloat16> scales;
    std::vector<float> row(static_cast<std::size_t>(in));
    for (std::int64_t r = 0; r < out; ++r) {
      std::byte* const to = words.data() + r * row_bytes;
      if (format.is_quantised()) {
        std::vector<BFloat16> more(static_cast<std::size_t>(format.scales(in)));
        host.quantised_row(r, format, to, more.data(), row);
        scales.insert(scales.end(), more.begin(), more.end());
        continue;
      }
      host.row(r, row);
      convert_row(row, format.type, to);
    }
    matrix.device = {.weight = upload(words),
                     .scales = format.is_quantised() ? upload(scales) : nullptr,
                     .bias = bias ? upload(host.bias) : nullptr,
                     .out = static_cast<int>(out),
                     .in = static_cast<int>(in),
                     .row_bytes = static_cast<int>(row_bytes),
                     .format = format};
    return matrix;
  }

  Norm norm(std::int64_t channels) {
    const NormSpec spec{.channels = channels, .eps = 1e-6};
    const HostNorm host{random(channels), {}};
    return {ref_.pack(spec, host), {.weight = upload(host.weight), .eps = 1e-6F}};
  }

  // What rounding leaves of a sum, sum - bfloat16(sum), by product(accumulate, out): it shows that
  // sums have another order where their bfloat16 are the same.
  template <class Product>
  std::vector<float> residue(std::int64_t rows, std::int64_t cols, const Product& product) {
    const auto rounded = this->rows(nothing(rows * cols), rows);
    product(false, rounded);
    auto negative = content(rounded);
    for (float& value : negative) value = -value;
    const auto left = this->rows(negative, rows);
    product(true, left);
    return content(left);
  }

  static void expect_near(const std::vector<float>& got, const std::vector<float>& want,
                          double tolerance = kTolerance) {
    ASSERT_EQ(got.size(), want.size());
    double difference = 0;
    double size = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      difference += (double{got[i]} - want[i]) * (double{got[i]} - want[i]);
      size += double{want[i]} * want[i];
    }
    EXPECT_LT(std::sqrt(difference / size), tolerance);  // fails for NaN as well
  }

  Ref ref_{WeightFormat::kF32};
  Ref::Context host_{std::size_t{16} << 20};
  std::mt19937 random_{7};
  std::optional<Stream<kTarget>> stream_;
  std::vector<DeviceBuffer<kTarget>> buffers_;
  unsigned* counters_ = nullptr;
};

}  // namespace fvlm
