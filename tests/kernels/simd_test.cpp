// The SIMD kernels against plain loops in double, on shapes that leave tails in every direction,
// for every instruction set this machine has. Tensors end exactly where their allocation ends, so
// that AddressSanitizer sees a kernel that goes one element too far.
#include "kernels/cpu/simd/simd.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

#include "fvlm/error.hpp"
#include "fvlm/ops/batch.hpp"
#include "tests/kernels/simd_fixture.hpp"

namespace fvlm {
namespace {

double gelu(double x) {
  return 0.5 * x * (1 + std::erf(x / std::numbers::sqrt2));
}

void expect_near(const std::vector<float>& found, const std::vector<double>& expected,
                 double tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    ASSERT_NEAR(found[i], expected[i], tolerance * std::max(1.0, std::abs(expected[i])))
        << "at " << i << " of " << found.size();
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, Simd, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& target) {
                           return std::string(hwy::TargetName(target.param));
                         });

TEST_P(Simd, RunsTheInstructionSetAskedFor) {
  EXPECT_STREQ(simd::instruction_set(), hwy::TargetName(GetParam()));
}

// Elementwise ------------------------------------------------------------------------------------

TEST_P(Simd, GeluIsAccurateEverywhere) {
  std::vector<float> x;
  for (float v = -12; v <= 12; v += 1.7e-3F) x.push_back(v);
  for (float v = 1e-30F; v < 1e30F; v *= 7) x.insert(x.end(), {v, -v});
  std::vector<float> found(x);
  simd::gelu(found.data(), std::ssize(found));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double size = std::max(1.0, std::abs(double{x[i]}));
    ASSERT_NEAR(found[i], gelu(x[i]), 5e-7 * size) << "of " << x[i];
  }
}

TEST_P(Simd, GeluOfLargeAndSpecialValues) {
  std::vector<float> x = {-1e6F, 1e6F,  -5.25F, 5.25F,
                          0,     -0.0F, kNaN,   std::numeric_limits<float>::infinity()};
  simd::gelu(x.data(), std::ssize(x));
  EXPECT_EQ(x[0], 0);
  EXPECT_EQ(x[1], 1e6F);
  EXPECT_EQ(x[2], 0);
  EXPECT_EQ(x[3], 5.25F);
  EXPECT_EQ(x[4], 0);
  EXPECT_EQ(x[5], 0);
  EXPECT_TRUE(std::isnan(x[6]));
  EXPECT_EQ(x[7], std::numeric_limits<float>::infinity());
}

TEST_P(Simd, ElementwiseOfEveryLength) {
  for (std::int64_t n = 0; n <= 37; ++n) {
    const auto a = random(n, 1, 3);
    const auto b = random(n, 2);
    std::vector<float> out(a);
    std::vector<double> expected;
    simd::gelu(out.data(), n);
    for (const float v : a) expected.push_back(gelu(v));
    expect_near(out, expected, 3e-6);  // 5e-7 times the largest |x| there

    std::vector<BFloat16> narrow(a.begin(), a.end());
    narrow.emplace_back(7.0F);
    simd::gelu(narrow.data(), n);
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double exact = gelu(float{BFloat16(a[i])});
      const double error = 3.5e-5 * std::max(1.0F, std::abs(a[i])) + std::abs(exact) / 256;
      EXPECT_NEAR(float{narrow[i]}, exact, error);
    }
    EXPECT_EQ(float{narrow.back()}, 7);  // nothing is written behind the end

    simd::gelu_scaled(a.data(), b.data(), out.data(), n);
    for (std::size_t i = 0; i < a.size(); ++i) expected[i] = gelu(double{a[i]} * b[i]);
    expect_near(out, expected, 5e-6);

    simd::swiglu(a.data(), b.data(), out.data(), n);
    for (std::size_t i = 0; i < a.size(); ++i) {
      expected[i] = a[i] / (1 + std::exp(-double{a[i]})) * b[i];
    }
    expect_near(out, expected, 1e-6);
  }
}

TEST_P(Simd, SwigluOfLargeAndSpecialValues) {
  const std::vector<float> gate = {-1e4F, -100, -88, 88, 100, 1e4F, kNaN, 1};
  const std::vector<float> up = {2, 2, 2, 2, 2, 2, 2, kNaN};
  std::vector<float> out(gate.size());
  simd::swiglu(gate.data(), up.data(), out.data(), std::ssize(out));
  for (const std::size_t i : {0U, 1U, 2U}) EXPECT_NEAR(out[i], 0, 1e-30);
  EXPECT_FLOAT_EQ(out[3], 176);
  EXPECT_FLOAT_EQ(out[4], 200);
  EXPECT_FLOAT_EQ(out[5], 2e4F);
  EXPECT_TRUE(std::isnan(out[6]));
  EXPECT_TRUE(std::isnan(out[7]));
}

TEST_P(Simd, WidensEveryBfloat16Exactly) {
  constexpr std::int64_t kAll = 1 << 16;
  std::vector<BFloat16> from(kAll);
  for (std::size_t i = 0; i < kAll; ++i) from[i].bits = static_cast<std::uint16_t>(i);
  std::vector<float> to(kAll);
  simd::to_float(from.data(), to.data(), kAll);
  for (std::size_t i = 0; i < kAll; ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(to[i]), static_cast<std::uint32_t>(i) << 16);
  }
}

TEST_P(Simd, RoundsToBfloat16) {
  std::vector<float> from = random(1000, 20);
  const std::vector<float> special = {0,
                                      -0.0F,
                                      kNaN,
                                      std::numeric_limits<float>::infinity(),
                                      std::bit_cast<float>(0x3f808000U),
                                      std::bit_cast<float>(0x3f818000U),
                                      std::bit_cast<float>(0x7fc00001U)};
  from.insert(from.end(), special.begin(), special.end());
  std::vector<BFloat16> to(from.size());
  simd::to_bf16(from.data(), to.data(), std::ssize(from));
  for (std::size_t i = 0; i < from.size(); ++i) ASSERT_EQ(to[i].bits, BFloat16(from[i]).bits);
}

TEST_P(Simd, Rotates) {
  for (const std::int64_t dim : {4, 12, 20, 64, 80, 128}) {
    const std::int64_t heads = 3;
    const auto half = static_cast<std::size_t>(dim / 2);
    const auto x = random(heads * dim, 3);
    std::vector<float> cosine(half);
    std::vector<float> sine(half);
    for (std::size_t i = 0; i < half; ++i) {
      cosine[i] = std::cos(static_cast<float>(i));
      sine[i] = std::sin(static_cast<float>(i));
    }
    std::vector<double> expected(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::size_t k = i % (2 * half);
      expected[i] = k < half
                        ? double{x[i]} * cosine[k] - double{x[i + half]} * sine[k]
                        : double{x[i]} * cosine[k - half] + double{x[i - half]} * sine[k - half];
    }
    std::vector<float> found(x);
    simd::rotate(found.data(), heads, dim, cosine.data(), sine.data());
    expect_near(found, expected, 1e-6);
  }
}

// Norms ------------------------------------------------------------------------------------------

TEST_P(Simd, Norms) {
  for (const std::int64_t channels : {1, 3, 12, 16, 20, 48, 97, 896, 1536, 3072}) {
    const auto n = static_cast<double>(channels);
    std::vector<float> x = random(channels, 4);
    for (float& v : x) v += 30;  // a mean that would cancel in sum(x^2) - mean^2
    const auto weight = random(channels, 5);
    const auto bias = random(channels, 6);
    double mean = 0;
    double squares = 0;
    for (const float v : x) mean += v / n;
    for (const float v : x) squares += double{v} * v / n;
    double variance = 0;
    for (const float v : x) variance += (v - mean) * (v - mean) / n;
    const float eps = 1e-5F;
    std::vector<float> found(x.size());
    std::vector<double> expected(x.size());
    simd::layer_norm(x.data(), weight.data(), bias.data(), eps, found.data(), channels);
    for (std::size_t i = 0; i < x.size(); ++i) {
      expected[i] = (x[i] - mean) / std::sqrt(variance + eps) * weight[i] + bias[i];
    }
    expect_near(found, expected, 2e-5);  // 30 / 1 x float32's precision

    simd::rms_norm(x.data(), weight.data(), eps, found.data(), channels);
    for (std::size_t i = 0; i < x.size(); ++i) {
      expected[i] = x[i] / std::sqrt(squares + eps) * weight[i];
    }
    expect_near(found, expected, 1e-6);
  }
}

// Convolutions -----------------------------------------------------------------------------------

struct DepthwiseCase {
  std::int64_t height, width, channels;
};

void check_depthwise(const DepthwiseSpec& spec, const DepthwiseCase& shape, Activation activation) {
  SCOPED_TRACE(testing::Message() << "kernel " << spec.kernel << " stride " << spec.stride
                                  << " multiplier " << spec.multiplier << " on " << shape.height
                                  << "x" << shape.width << "x" << shape.channels);
  const std::int64_t taps = spec.kernel * spec.kernel;
  const HostDepthwise host{random(taps * spec.out(), 7, 0.3F), random(spec.out(), 8)};
  const std::int64_t images = 2;
  const auto input = random(images * shape.height * shape.width * shape.channels, 9);
  const FeatureMap<const float> in{input.data(), images, shape.height, shape.width, shape.channels};
  const std::int64_t height = shape.height / spec.stride;
  const std::int64_t width = shape.width / spec.stride;
  const auto weights = simd::pack_depthwise(spec, host);
  const std::int64_t image = 1;
  for (const auto& [first, rows] :
       {std::pair<std::int64_t, std::int64_t>{0, height}, {height / 2, height - height / 2}}) {
    std::vector<double> expected;
    for (std::int64_t y = first; y < first + rows; ++y) {
      for (std::int64_t x = 0; x < width; ++x) {
        for (std::int64_t c = 0; c < spec.out(); ++c) {
          double sum = host.bias[static_cast<std::size_t>(c)];
          for (std::int64_t tap = 0; tap < taps; ++tap) {
            const std::int64_t iy = y * spec.stride + tap / spec.kernel - spec.kernel / 2;
            const std::int64_t ix = x * spec.stride + tap % spec.kernel - spec.kernel / 2;
            if (iy < 0 || iy >= in.height || ix < 0 || ix >= in.width) continue;
            sum += double{host.weight[static_cast<std::size_t>(tap * spec.out() + c)]} *
                   in.row(image, iy)[ix * in.channels + c / spec.multiplier];
          }
          expected.push_back(activation == Activation::kGelu ? gelu(sum) : sum);
        }
      }
    }
    std::vector<float> found(expected.size(), kNaN);
    simd::depthwise(in, image, weights, activation, first, rows, found.data());
    expect_near(found, expected, 5e-6);
  }
}

TEST_P(Simd, Depthwise) {
  for (const std::int64_t kernel : {3, 7}) {
    for (const std::int64_t stride : {1, 2}) {
      for (const std::int64_t multiplier : {1, 2}) {
        for (const DepthwiseCase shape : {DepthwiseCase{2, 2, 1},
                                          {4, 6, 20},
                                          {8, 8, 12},
                                          {6, 34, 24},
                                          {10, 18, 48},
                                          {4, 32, 33},
                                          {2, 64, 16},
                                          {64, 4, 5}}) {
          const DepthwiseSpec spec{.in = shape.channels,
                                   .multiplier = multiplier,
                                   .kernel = kernel,
                                   .stride = stride,
                                   .convolution = "conv",
                                   .batch_norm = ""};
          check_depthwise(spec, shape, Activation::kNone);
          check_depthwise(spec, shape, Activation::kGelu);
        }
      }
    }
  }
}

TEST_P(Simd, DepthwiseOfOddSizes) {
  for (const std::int64_t kernel : {3, 7}) {
    const DepthwiseSpec spec{.in = 19,
                             .multiplier = 1,
                             .kernel = kernel,
                             .stride = 1,
                             .convolution = "",
                             .batch_norm = ""};
    check_depthwise(spec, {1, 1, 19}, Activation::kNone);
    check_depthwise(spec, {5, 17, 19}, Activation::kNone);
    check_depthwise(spec, {9, 33, 19}, Activation::kGelu);
  }
}

TEST(SimdPack, RefusesOtherDepthwiseConvolutions) {
  for (const auto& [kernel, stride, multiplier] :
       {std::array<std::int64_t, 3>{5, 1, 1}, {3, 3, 1}, {7, 1, 3}, {7, 0, 1}}) {
    const DepthwiseSpec spec{.in = 4,
                             .multiplier = multiplier,
                             .kernel = kernel,
                             .stride = stride,
                             .convolution = "the_name",
                             .batch_norm = ""};
    try {
      simd::pack_depthwise(spec, {});
      FAIL() << "kernel " << kernel << " was accepted";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("the_name"), std::string::npos) << error.what();
    }
  }
}

TEST_P(Simd, Stem) {
  for (const std::int64_t channels : {1, 12, 24, 32, 40, 96}) {
    for (const auto& [height, width] :
         {std::pair<std::int64_t, std::int64_t>{2, 2}, {6, 10}, {8, 34}, {4, 64}}) {
      const std::int64_t images = 2;
      std::vector<std::uint8_t> bytes(static_cast<std::size_t>(images * height * width * 3));
      std::mt19937 bits(10);
      for (auto& byte : bytes) byte = static_cast<std::uint8_t>(bits());
      const FeatureMap<const std::uint8_t> pixels{bytes.data(), images, height, width, 3};
      const HostStem host{random(27 * channels, 11, 1.0F / 500), random(channels, 12)};
      const std::int64_t image = 1;
      const std::int64_t first = height / 4;
      const std::int64_t rows = height / 2 - first;
      std::vector<double> expected;
      for (std::int64_t y = first; y < first + rows; ++y) {
        for (std::int64_t x = 0; x < width / 2; ++x) {
          for (std::int64_t c = 0; c < channels; ++c) {
            double sum = host.bias[static_cast<std::size_t>(c)];
            for (std::int64_t i = 0; i < 27; ++i) {
              const std::int64_t py = 2 * y + i / 9 - 1;
              const std::int64_t px = 2 * x + i / 3 % 3 - 1;
              if (py < 0 || py >= height || px < 0 || px >= width) continue;
              sum += double{host.weight[static_cast<std::size_t>(i * channels + c)]} *
                     pixels.row(image, py)[px * 3 + i % 3];
            }
            expected.push_back(gelu(sum));
          }
        }
      }
      std::vector<float> found(expected.size(), kNaN);
      simd::stem(pixels, image, simd::pack_stem(host), first, rows, found.data());
      expect_near(found, expected, 5e-6);
    }
  }
}

// Matrix-vector products -------------------------------------------------------------------------

template <class Weight>
void check_matvec() {
  const std::int64_t rows = 23;
  for (const std::int64_t padded : {64, 128, 896, 4864}) {
    const auto values = random(rows * padded, 13);
    std::vector<Weight> weight;
    for (const float v : values) weight.push_back(Weight(v));
    const auto x = random(simd::kMaxInputs * padded, 14);
    const auto bias = random(rows, 15);
    const std::int64_t first = 2;
    const std::int64_t last = rows - 2;
    std::vector<float> one_by_one;  // [input, output]
    for (std::int64_t inputs = 1; inputs <= simd::kMaxInputs; ++inputs) {
      const std::int64_t stride = rows + 5;
      const auto residual = random(inputs * stride, 16);
      std::vector<float> out(residual);
      simd::MatVec m{.x = x.data(),
                     .inputs = inputs,
                     .padded = padded,
                     .bias = bias.data(),
                     .out = out.data(),
                     .out_stride = stride,
                     .accumulate = true};
      simd::matvec(weight.data(), m, first, last);
      for (std::int64_t i = 0; i < inputs; ++i) {
        for (std::int64_t o = 0; o < stride; ++o) {
          const auto at = static_cast<std::size_t>(i * stride + o);
          if (o < first || o >= last) {
            ASSERT_EQ(out[at], residual[at]) << "output " << o << " is outside of the range";
            continue;
          }
          double sum = bias[static_cast<std::size_t>(o)] + residual[at];
          for (std::int64_t k = 0; k < padded; ++k) {
            sum += double{static_cast<float>(weight[static_cast<std::size_t>(o * padded + k)])} *
                   x[static_cast<std::size_t>(i * padded + k)];
          }
          ASSERT_NEAR(out[at], sum, 1e-6 * static_cast<double>(padded)) << i << ", " << o;
        }
      }
      // The same bits, however many inputs there are and wherever the range begins.
      m.accumulate = false;
      m.bias = nullptr;
      simd::matvec(weight.data(), m, 0, rows);
      for (std::int64_t i = 0; i < inputs; ++i) {
        std::vector<float> alone(static_cast<std::size_t>(rows));
        simd::MatVec single{.x = x.data() + i * padded,
                            .inputs = 1,
                            .padded = padded,
                            .bias = nullptr,
                            .out = alone.data(),
                            .out_stride = rows,
                            .accumulate = false};
        simd::matvec(weight.data(), single, 0, 3);
        simd::matvec(weight.data(), single, 3, rows);
        ASSERT_EQ(std::memcmp(alone.data(), out.data() + i * stride, alone.size() * sizeof(float)),
                  0)
            << "input " << i << " of " << inputs;
      }
    }
  }
}

TEST_P(Simd, MatvecFloat) {
  check_matvec<float>();
}
TEST_P(Simd, MatvecBfloat16) {
  check_matvec<BFloat16>();
}

// Attention --------------------------------------------------------------------------------------

// Keys and values of one head in pages, each allocated exactly; tokens that do not exist are NaN.
struct Pages {
  Pages(std::int64_t keys, std::int64_t head_dim, float size) {
    const auto k = random(keys * head_dim, 17, size);
    const auto v = random(keys * head_dim, 18);
    for (std::int64_t begin = 0; begin < keys; begin += kPageTokens) {
      auto& key_page = storage.emplace_back(static_cast<std::size_t>(kPageTokens * head_dim), kNaN);
      for (std::int64_t t = begin; t < std::min(keys, begin + kPageTokens); ++t) {
        for (std::int64_t d = 0; d < head_dim; ++d) {
          key_page[static_cast<std::size_t>(d * kPageTokens + t - begin)] =
              k[static_cast<std::size_t>(t * head_dim + d)];
        }
      }
      auto& value_page =
          storage.emplace_back(static_cast<std::size_t>(kPageTokens * head_dim), kNaN);
      std::copy(v.begin() + begin * head_dim,
                v.begin() + std::min(keys, begin + kPageTokens) * head_dim, value_page.begin());
    }
    for (std::size_t i = 0; i < storage.size(); i += 2) {
      key_pages.push_back(storage[i].data());
      value_pages.push_back(storage[i + 1].data());
    }
  }

  std::vector<std::vector<float>> storage;
  std::vector<const float*> key_pages;
  std::vector<const float*> value_pages;
};

std::vector<double> plain_attention(const Pages& pages, std::int64_t keys, std::int64_t head_dim,
                                    const float* query, double scale) {
  std::vector<double> weights;
  for (std::int64_t t = 0; t < keys; ++t) {
    double score = 0;
    for (std::int64_t d = 0; d < head_dim; ++d) {
      score += double{query[d]} * pages.key_pages[static_cast<std::size_t>(t / kPageTokens)]
                                                 [d * kPageTokens + t % kPageTokens];
    }
    weights.push_back(score * scale);
  }
  const double largest = *std::max_element(weights.begin(), weights.end());
  double sum = 0;
  for (double& w : weights) sum += w = std::exp(w - largest);
  std::vector<double> out(static_cast<std::size_t>(head_dim));
  for (std::int64_t t = 0; t < keys; ++t) {
    for (std::int64_t d = 0; d < head_dim; ++d) {
      out[static_cast<std::size_t>(d)] +=
          weights[static_cast<std::size_t>(t)] / sum *
          pages.value_pages[static_cast<std::size_t>(t / kPageTokens)]
                           [t % kPageTokens * head_dim + d];
    }
  }
  return out;
}

void check_attention(std::int64_t keys, std::int64_t head_dim, std::int64_t queries, float size) {
  SCOPED_TRACE(testing::Message() << keys << " keys, " << queries << " queries, head dim "
                                  << head_dim);
  const Pages pages(keys, head_dim, size);
  const std::int64_t query_stride = head_dim + 3;
  const std::int64_t out_stride = head_dim + 1;
  const auto query = random((queries - 1) * query_stride + head_dim, 19);
  const std::int64_t padded = (keys + kPageTokens - 1) / kPageTokens * kPageTokens;
  std::vector<float> scores(static_cast<std::size_t>(queries * padded), kNaN);
  std::vector<float> out(static_cast<std::size_t>((queries - 1) * out_stride + head_dim), 7);
  const float scale = 1 / std::sqrt(static_cast<float>(head_dim));
  simd::AttentionBlock block{.key_pages = pages.key_pages.data(),
                             .value_pages = pages.value_pages.data(),
                             .keys = keys,
                             .head_dim = head_dim,
                             .scale = scale,
                             .query = query.data(),
                             .query_stride = query_stride,
                             .queries = queries,
                             .scores = scores.data(),
                             .out = out.data(),
                             .out_stride = out_stride};
  simd::attention(block);
  for (std::int64_t q = 0; q < queries; ++q) {
    const auto begin = out.begin() + q * out_stride;
    const std::vector<float> found(begin, begin + head_dim);
    expect_near(found,
                plain_attention(pages, keys, head_dim, query.data() + q * query_stride, scale),
                2e-6 * std::max(1.0F, size));
    if (q + 1 < queries) {
      EXPECT_EQ(begin[head_dim], 7) << "written between two outputs";
    }
    // The same bits when the query is alone.
    std::vector<float> alone(static_cast<std::size_t>(head_dim));
    simd::AttentionBlock single = block;
    single.query = query.data() + q * query_stride;
    single.queries = 1;
    single.out = alone.data();
    simd::attention(single);
    EXPECT_EQ(std::memcmp(alone.data(), found.data(), found.size() * sizeof(float)), 0);
  }
}

TEST_P(Simd, AttentionOfAllHeadDimensions) {
  for (const std::int64_t head_dim : {4, 16, 20, 32, 36, 64, 80, 128}) {
    for (const std::int64_t keys : {1, 63, 64, 65, 200}) check_attention(keys, head_dim, 5, 1);
  }
}

TEST_P(Simd, AttentionOfAllQueryCounts) {
  for (std::int64_t queries = 1; queries <= simd::kMaxQueries; ++queries) {
    for (const std::int64_t keys : {1, 2, 130}) check_attention(keys, 32, queries, 1);
  }
}

TEST_P(Simd, AttentionOfLargeScores) {
  check_attention(100, 64, 3, 40);  // scores beyond what exp can take
}

TEST_P(Simd, AttentionIgnoresTheSignOfAllScores) {
  // With all scores far below zero the zeros of a partial vector must not count as the largest.
  const std::int64_t head_dim = 16;
  Pages pages(5, head_dim, 1);
  std::vector<float>& keys = pages.storage[0];
  std::fill(keys.begin(), keys.end(), -1000.0F);
  const std::vector<float> query(static_cast<std::size_t>(head_dim), 1.0F);
  std::vector<float> scores(static_cast<std::size_t>(kPageTokens));
  std::vector<float> out(static_cast<std::size_t>(head_dim));
  simd::attention({.key_pages = pages.key_pages.data(),
                   .value_pages = pages.value_pages.data(),
                   .keys = 5,
                   .head_dim = head_dim,
                   .scale = 1,
                   .query = query.data(),
                   .query_stride = head_dim,
                   .queries = 1,
                   .scores = scores.data(),
                   .out = out.data(),
                   .out_stride = head_dim});
  expect_near(out, plain_attention(pages, 5, head_dim, query.data(), 1), 1e-6);
}

}  // namespace
}  // namespace fvlm
