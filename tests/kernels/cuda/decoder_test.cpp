// The decoder's GEMMs and GEMVs, norms and embedding against Ref: every weight format and number of
// rows that has a kernel of its own, sizes that are no multiple of a vector, block, tile or group.
#include <algorithm>
#include <array>

#include "kernels/cuda/gemm/token_products.hpp"
#include "kernels/cuda/rowwise/rowwise.hpp"
#include "tests/kernels/cuda/decoder_fixture.hpp"

namespace fvlm {
namespace {

const std::vector<WeightFormat>& formats() {
  static const std::vector<WeightFormat> all = {
      WeightFormat::kF32,     WeightFormat::kF16,     WeightFormat::kBF16,
      WeightFormat::int8(32), WeightFormat::int8(64), WeightFormat::int8(128),
      WeightFormat::int4(32), WeightFormat::int4(64), WeightFormat::int4(128)};
  return all;
}

template <class Mode>
class CudaDecoder : public CudaDecoderTest<Mode> {
 protected:
  using Base = CudaDecoderTest<Mode>;
  using typename Base::E;
  using Embed = EmbedKernels<Base::kTarget, E>;
  using Token = TokenKernels<Base::kTarget, E>;

  void expect_linear(std::int64_t rows, std::int64_t in, std::int64_t out,
                     const WeightFormat& format, bool bias, Epilogue epilogue,
                     std::int64_t padding = 0) {
    SCOPED_TRACE(testing::Message() << rows << " rows, " << in << " -> " << out << ", "
                                    << name_of(format) << ", padding " << padding);
    const auto matrix = this->matrix(in, out, format, bias);
    auto x = this->activations(rows * in);
    auto want = this->activations(rows * out);
    const auto to = this->rows(want, rows, padding);
    this->ref_.linear(this->host_, rows_of(x, rows), matrix.plain, epilogue, rows_of(want, rows));
    Token::linear(*this->stream_, this->rows(x, rows, padding), matrix.device,
                  epilogue.activation == Activation::kGelu, epilogue.accumulate, to);
    this->expect_near(this->content(to), want);
  }
};
TYPED_TEST_SUITE(CudaDecoder, CudaModes, CudaModeName);

TYPED_TEST(CudaDecoder, Embed) {
  using Element = typename TypeParam::E;
  for (const WeightFormat& format : formats()) {
    const auto table = this->matrix(150, 9, format);
    const std::vector<std::int32_t> ids = {8, 0, 3, 3};
    auto want = this->nothing(4 * 150);
    this->ref_.embed(this->host_, ids, table.plain, rows_of(want, 4));
    for (float& v : want) v = static_cast<float>(static_cast<Element>(v));
    const auto out = this->rows(this->nothing(4 * 150), 4, 2);
    TestFixture::Embed::embed(*this->stream_, this->upload(ids), table.device, out);
    EXPECT_EQ(this->content(out), want) << name_of(format);
  }
}

TYPED_TEST(CudaDecoder, RmsNorm) {
  for (const std::int64_t channels : {1, 70, 700}) {
    const auto norm = this->norm(channels);
    const auto x = this->activations(3 * channels, 5);
    auto want = this->nothing(3 * channels);
    for (std::int64_t r = 0; r < 3; ++r) {
      double squares = 0;
      for (std::int64_t c = 0; c < channels; ++c) {
        const double v = x[static_cast<std::size_t>(r * channels + c)];
        squares += v * v;
      }
      const double scale = 1 / std::sqrt(squares / static_cast<double>(channels) + 1e-6);
      for (std::int64_t c = 0; c < channels; ++c) {
        const auto i = static_cast<std::size_t>(r * channels + c);
        want[i] =
            static_cast<float>(x[i] * scale * norm.plain.host.weight[static_cast<std::size_t>(c)]);
      }
    }
    const auto out = this->rows(this->nothing(3 * channels), 3);
    TestFixture::Embed::rms_norm(*this->stream_, this->rows(x, 3), norm.device, out);
    this->expect_near(this->content(out), want);
  }
}

TYPED_TEST(CudaDecoder, LinearInEveryFormat) {
  for (const WeightFormat& format : formats()) {
    for (const std::int64_t rows : {1, 2, 3, 8, 9, 33}) {
      this->expect_linear(rows, 200, 37, format, true, {});
    }
  }
}

// More inputs than one step, one chunk in shared memory, and one warp; rows that are not aligned.
TYPED_TEST(CudaDecoder, LinearOfManyInputs) {
  for (const WeightFormat& format :
       {WeightFormat::kBF16, WeightFormat::int8(), WeightFormat::int4(32)}) {
    this->expect_linear(1, 9001, 3, format, false, {.accumulate = true});
    this->expect_linear(8, 9001, 5, format, false, {.accumulate = true}, 3);
    this->expect_linear(17, 1800, 35, format, false, {.accumulate = true});
  }
}

// More outputs than a grid has warps.
TYPED_TEST(CudaDecoder, LinearOfManyOutputs) {
  this->expect_linear(2, 40, 8600, WeightFormat::int4(), true, {});
}

TYPED_TEST(CudaDecoder, LinearEpilogues) {
  for (const std::int64_t rows : {1, 12, 70}) {
    for (const bool bias : {false, true}) {
      this->expect_linear(rows, 72, 130, WeightFormat::kBF16, bias,
                          {.activation = Activation::kGelu});
      this->expect_linear(rows, 72, 130, WeightFormat::int8(), bias, {.accumulate = true}, 8);
    }
  }
}

// Tiles of all shapes; float32 has none.
TYPED_TEST(CudaDecoder, LinearOfAPrompt) {
  if (sizeof(typename TypeParam::E) == 4)
    return this->expect_linear(150, 96, 70, WeightFormat::int4(), true, {});
  for (const WeightFormat& format : {WeightFormat::kBF16, WeightFormat::int4()}) {
    this->expect_linear(150, 96, 4200, format, true, {});
  }
  this->expect_linear(130, 64, 9000, WeightFormat::int8(), false, {});
}

TYPED_TEST(CudaDecoder, SwigluAndLogits) {
  for (const WeightFormat& format :
       {WeightFormat::kBF16, WeightFormat::int8(32), WeightFormat::int4(128)}) {
    for (const std::int64_t rows : {1, 5, 8, 21}) {
      SCOPED_TRACE(testing::Message() << name_of(format) << ", rows " << rows);
      const auto norm = this->norm(100);
      const auto gate_up = this->matrix(100, 2 * 75, format);
      auto x = this->activations(rows * 100, 5);
      const auto from = this->rows(x, rows, 4);
      const auto scratch = this->rows(this->nothing(rows * 100), rows, 4);
      auto want = this->nothing(rows * 75);
      const auto out = this->rows(want, rows);
      this->ref_.swiglu(this->host_, rows_of(x, rows), norm.plain, gate_up.plain,
                        rows_of(want, rows));
      TestFixture::Token::swiglu(*this->stream_, from, norm.device, gate_up.device, scratch, out);
      this->expect_near(this->content(out), want);

      const auto head = this->matrix(100, 151, format);
      want = this->nothing(rows * 151);
      const View<float> logits{this->upload(want), rows, 151, 151};
      this->ref_.logits(this->host_, rows_of(x, rows), norm.plain, head.plain, rows_of(want, rows));
      TestFixture::Token::logits(*this->stream_, from, norm.device, head.device, scratch, logits);
      this->expect_near(this->content(logits), want);
    }
  }
}

// Rows that are multiplied together give, bit for bit, what each gives alone.
TYPED_TEST(CudaDecoder, BatchingChangesNoBit) {
  for (const WeightFormat& format :
       {WeightFormat::kF32, WeightFormat::kBF16, WeightFormat::int8(), WeightFormat::int4()}) {
    const std::int64_t in = 5000;
    const auto norm = this->norm(in);
    const auto head = this->matrix(in, 33, format);
    const auto x = this->activations(8 * in, 3);
    const auto from = this->rows(x, 8);
    const View<float> alone{this->upload(this->nothing(8 * 33)), 8, 33, 33};
    for (std::int64_t r = 0; r < 8; ++r) {
      TestFixture::Token::logits(*this->stream_, from.slice_rows(r, 1), norm.device, head.device,
                                 {}, alone.slice_rows(r, 1));
    }
    const auto want = this->content(alone);
    for (const std::int64_t rows : {2, 3, 7, 8}) {
      const View<float> together{this->upload(this->nothing(rows * 33)), rows, 33, 33};
      TestFixture::Token::logits(*this->stream_, from.slice_rows(0, rows), norm.device, head.device,
                                 {}, together);
      const auto got = this->content(together);
      EXPECT_TRUE(std::equal(got.begin(), got.end(), want.begin()))
          << name_of(format) << ", rows " << rows;
    }
  }
}

}  // namespace
}  // namespace fvlm
