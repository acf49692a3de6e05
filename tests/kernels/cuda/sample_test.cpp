// The portability layer as kernels use it: the kernels of sample.cu in the emulator and, where
// there is one, on a device, against plain loops.
#include <gtest/gtest.h>

#include <cstddef>
#include <optional>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "fvlm/core/element.hpp"
#include "kernels/cuda/primitives/memory.hpp"
#include "tests/kernels/cuda/modes.hpp"
#include "tests/kernels/cuda/sample.hpp"

namespace fvlm {
namespace {

template <class T>
class CudaSample : public testing::Test {
 protected:
  static constexpr Target kTarget = T::value;

  void SetUp() override {
    if (device_count<kTarget>() == 0) GTEST_SKIP() << "no CUDA device";
    stream_.emplace();
  }

  // A copy on the device.
  template <class E>
  DeviceBuffer<kTarget> upload(const std::vector<E>& host) {
    DeviceBuffer<kTarget> device(host.size() * sizeof(E));
    stream_->copy_to_device(device.template as<E>(), host.data(), device.bytes());
    stream_->synchronize();
    return device;
  }
  template <class E>
  std::vector<E> download(const DeviceBuffer<kTarget>& device) {
    std::vector<E> host(device.bytes() / sizeof(E));
    stream_->copy_to_host(host.data(), device.template as<E>(), device.bytes());
    stream_->synchronize();
    return host;
  }
  // Multiples of 1/8 in [-1, 1], whose sums are exact.
  template <class E>
  std::vector<E> numbers(std::int64_t count) {
    std::vector<E> all;
    std::uniform_int_distribution<int> eighths(-8, 8);
    for (std::int64_t i = 0; i < count; ++i) {
      all.push_back(static_cast<E>(static_cast<float>(eighths(random_)) / 8));
    }
    return all;
  }
  template <class E>
  void expect_product();

  std::mt19937 random_{7};
  std::optional<Stream<kTarget>> stream_;
};

TYPED_TEST_SUITE(CudaSample, CudaTargets, CudaTargetName);

TYPED_TEST(CudaSample, Add) {
  for (const std::int64_t count : {1, 3, 512, 1027}) {
    const auto in = this->template numbers<float>(count);
    auto expected = this->template numbers<float>(count);
    const auto device_in = this->upload(in);
    const auto device_out = this->upload(expected);
    SampleKernels<TestFixture::kTarget>::add(*this->stream_, device_in.template as<float>(),
                                             device_out.template as<float>(), count);
    for (std::size_t i = 0; i < in.size(); ++i) expected[i] += in[i];
    EXPECT_EQ(this->template download<float>(device_out), expected);
  }
}

TYPED_TEST(CudaSample, RowSums) {
  constexpr std::int64_t kRows = 5;
  for (const std::int64_t cols : {1, 100, 777}) {
    const std::int64_t stride = cols + 3;
    const auto in = this->template numbers<float>(kRows * stride);
    const auto device_in = this->upload(in);
    const DeviceBuffer<TestFixture::kTarget> out(kRows * sizeof(float));
    SampleKernels<TestFixture::kTarget>::row_sums(
        *this->stream_, {device_in.template as<float>(), kRows, cols, stride},
        out.template as<float>());
    std::vector<float> expected(kRows, 0.0F);
    for (std::int64_t r = 0; r < kRows; ++r) {
      for (std::int64_t c = 0; c < cols; ++c) {
        expected[static_cast<std::size_t>(r)] += in[static_cast<std::size_t>(r * stride + c)];
      }
    }
    EXPECT_EQ(this->template download<float>(out), expected);
  }
}

template <class T>
template <class E>
void CudaSample<T>::expect_product() {
  constexpr std::int64_t kM = 19;
  constexpr std::int64_t kN = 45;
  constexpr std::int64_t kK = 56;  // 3.5 steps of the kernel
  const auto a = numbers<E>(kM * kK);
  const auto b = numbers<E>(kN * kK);
  const auto device_a = upload(a);
  const auto device_b = upload(b);
  const DeviceBuffer<kTarget> out(kM * kN * sizeof(E));
  SampleProduct<kTarget, E>::multiply(*stream_, {device_a.template as<const E>(), kM, kK, kK},
                                      {device_b.template as<const E>(), kN, kK, kK},
                                      {out.template as<E>(), kM, kN, kN});
  const auto found = download<E>(out);
  for (std::int64_t r = 0; r < kM; ++r) {
    for (std::int64_t c = 0; c < kN; ++c) {
      float sum = 0;
      for (std::int64_t k = 0; k < kK; ++k) {
        sum += static_cast<float>(a[static_cast<std::size_t>(r * kK + k)]) *
               static_cast<float>(b[static_cast<std::size_t>(c * kK + k)]);
      }
      EXPECT_EQ(static_cast<float>(found[static_cast<std::size_t>(r * kN + c)]),
                static_cast<float>(static_cast<E>(sum)))
          << r << ", " << c;
    }
  }
}

TYPED_TEST(CudaSample, MultiplyBFloat16) {
  this->template expect_product<BFloat16>();
}
TYPED_TEST(CudaSample, MultiplyFloat16) {
  this->template expect_product<Float16>();
}

TYPED_TEST(CudaSample, ScanRecordedInAGraph) {
  constexpr std::int64_t kCount = 300;
  std::vector<int> in;
  for (int i = 0; i < kCount; ++i) in.push_back(i * 7 % 13);
  const auto device_in = this->upload(in);
  const auto out = this->upload(std::vector<int>(kCount));
  const auto odd = this->upload(std::vector<unsigned>(1));
  auto& stream = *this->stream_;
  const auto graph = Graph<TestFixture::kTarget>::capture(stream, [&] {
    SampleKernels<TestFixture::kTarget>::scan(stream, device_in.template as<int>(),
                                              out.template as<int>(), odd.template as<unsigned>(),
                                              kCount);
  });
  EXPECT_EQ(this->template download<unsigned>(odd).front(), 0U);
  graph.launch(stream);
  graph.launch(stream);

  std::vector<int> expected = in;
  unsigned odd_numbers = 0;
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (i % 32 != 0) expected[i] += expected[i - 1];
    odd_numbers += static_cast<unsigned>(in[i] % 2);
  }
  EXPECT_EQ(this->template download<int>(out), expected);
  EXPECT_EQ(this->template download<unsigned>(odd).front(), 2 * odd_numbers);
}

TYPED_TEST(CudaSample, EventsOrderStreamsWithinACapture) {
  const auto in = this->template numbers<float>(40);
  const auto device_in = this->upload(in);
  const auto sum = this->upload(std::vector<float>(40));
  auto& stream = *this->stream_;
  Stream<TestFixture::kTarget> other;
  Event<TestFixture::kTarget> fork;
  Event<TestFixture::kTarget> join;
  const auto graph = Graph<TestFixture::kTarget>::capture(stream, [&] {
    stream.record(fork);
    other.wait(fork);
    SampleKernels<TestFixture::kTarget>::add(other, device_in.template as<float>(),
                                             sum.template as<float>(), 40);
    other.record(join);
    stream.wait(join);
  });
  EXPECT_EQ(this->template download<float>(sum), std::vector<float>(40));
  graph.launch(stream);
  EXPECT_EQ(this->template download<float>(sum), in);
}

}  // namespace
}  // namespace fvlm
