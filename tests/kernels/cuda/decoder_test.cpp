// The decoder's GEMMs and GEMVs, norms and embedding against Ref: every weight format and number of
// rows that has a kernel of its own, sizes that are no multiple of a vector, block, tile or group.
#include <algorithm>
#include <array>
#include <iterator>

#include "kernels/cuda/gemm/tile_choice.hpp"
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
  using typename Base::Token;

  void expect_linear(std::int64_t rows, std::int64_t in, std::int64_t out,
                     const WeightFormat& format, bool bias, Epilogue epilogue,
                     std::int64_t padding = 0) {
    const auto matrix = this->matrix(in, out, format, bias);
    auto x = this->activations(rows * in);
    const auto from = this->rows(x, rows, padding);
    const auto before = this->activations(rows * out);
    auto want = before;
    this->ref_.linear(this->host_, rows_of(x, rows), matrix.plain, epilogue, rows_of(want, rows));
    SCOPED_TRACE(testing::Message() << rows << " rows, " << in << " -> " << out << ", "
                                    << name_of(format) << ", padding " << padding);
    this->each_product([&](const DeviceShape& device, TokenPass pass) {
      const auto to = this->rows(before, rows, padding);
      Token::linear(*this->stream_, device, pass, from, matrix.device,
                    epilogue.activation == Activation::kGelu, epilogue.accumulate,
                    this->scratch_of(rows, matrix).split, to);
      this->expect_near(this->content(to), want);
    });
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
    for (const std::int64_t rows : {1, 3, 8, 9, 17, 33, 64}) {
      this->expect_linear(rows, 200, 37, format, true, {});
    }
  }
}

// More inputs than one warp takes; rows that are not aligned.
TYPED_TEST(CudaDecoder, LinearOfManyInputs) {
  for (const WeightFormat& format :
       {WeightFormat::kBF16, WeightFormat::int8(), WeightFormat::int4(32)}) {
    this->expect_linear(1, 9001, 3, format, false, {.accumulate = true});
    this->expect_linear(8, 9001, 5, format, false, {.accumulate = true}, 3);
    this->expect_linear(17, 1800, 35, format, false, {.accumulate = true});
  }
}

// Blocks share the depth and add their sums in scratch memory, whose counters are zeros again.
TYPED_TEST(CudaDecoder, LinearWhoseDepthBlocksShare) {
  for (const WeightFormat& format :
       {WeightFormat::kBF16, WeightFormat::int8(32), WeightFormat::int4(128)}) {
    for (const std::int64_t rows : {9, 16, 17, 31, 40, 64}) {
      this->expect_linear(rows, 1096, 131, format, true, {.accumulate = true}, 8);
    }
  }
  this->expect_linear(20, 72, 3000, WeightFormat::kBF16, false, {});   // two parts
  this->expect_linear(33, 264, 4400, WeightFormat::kBF16, false, {});  // two tiles a warp
  const auto counters = this->download(this->counters(), SplitSums::kCounters);
  EXPECT_EQ(std::count(counters.begin(), counters.end(), 0U), std::ssize(counters));
}

// So many outputs that a warp has several tiles of them.
TYPED_TEST(CudaDecoder, LinearOfManyOutputs) {
  this->expect_linear(2, 40, 16500, WeightFormat::int4(), true, {});
  this->expect_linear(12, 40, 16500, WeightFormat::kBF16, true, {});
  this->expect_linear(1, 70, 65600, WeightFormat::int8(), true, {});
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
  for (const WeightFormat& format :
       {WeightFormat::kBF16, WeightFormat::int8(), WeightFormat::int4()}) {
    this->expect_linear(150, 2200, 70, format, true, {.accumulate = true});  // in two parts
  }
  this->expect_linear(130, 64, 9000, WeightFormat::int8(), false, {});
}

TYPED_TEST(CudaDecoder, SwigluAndLogits) {
  for (const WeightFormat& format :
       {WeightFormat::kBF16, WeightFormat::int8(32), WeightFormat::int4(128)}) {
    for (const auto [rows, in, outputs] : std::vector<std::array<std::int64_t, 3>>{
             {1, 100, 75}, {5, 100, 75}, {8, 104, 76}, {21, 104, 75}, {70, 200, 260}}) {
      SCOPED_TRACE(testing::Message() << name_of(format) << ", rows " << rows);
      const auto norm = this->norm(in);
      const auto gate_up = this->matrix(in, 2 * outputs, format);
      auto x = this->activations(rows * in, 5);
      const auto from = this->rows(x, rows, 8);
      const auto scratch = this->rows(this->nothing(rows * in), rows, 8);
      auto want = this->nothing(rows * outputs);
      this->ref_.swiglu(this->host_, rows_of(x, rows), norm.plain, gate_up.plain,
                        rows_of(want, rows));
      this->each_product([&](const DeviceShape& device, TokenPass pass) {
        const auto out = this->rows(this->nothing(rows * outputs), rows);
        TestFixture::Token::swiglu(*this->stream_, device, pass, from, norm.device, gate_up.device,
                                   this->scratch_of(rows, gate_up, scratch), out);
        this->expect_near(this->content(out), want);
      });

      const auto head = this->matrix(in, 151, format);
      want = this->nothing(rows * 151);
      const View<float> logits{this->upload(want), rows, 151, 151};
      this->ref_.logits(this->host_, rows_of(x, rows), norm.plain, head.plain, rows_of(want, rows));
      TestFixture::Token::logits(*this->stream_, this->kAnywhere, from, norm.device, head.device,
                                 this->scratch_of(rows, head, scratch), logits);
      this->expect_near(this->content(logits), want);
    }
  }
}

// Each part of the depth by a block of its own or one after the other, for each number of tokens.
TYPED_TEST(CudaDecoder, PartsOfTheDepthGiveTheSameBits) {
  if (sizeof(typename TypeParam::E) == 4) GTEST_SKIP() << "the depth of float32 is whole";
  constexpr std::int64_t kIn = 2112;
  constexpr std::int64_t kOut = 72;
  constexpr std::int64_t kRows = 140;
  const auto from = this->rows(this->activations(kRows * kIn), kRows);
  for (const WeightFormat& format :
       {WeightFormat::kBF16, WeightFormat::int8(), WeightFormat::int4(32)}) {
    const auto matrix = this->matrix(kIn, kOut, format);
    const auto product = [&](std::int64_t rows, int tile) {
      const auto split = this->scratch_of(rows, matrix).split;
      auto all = this->residue(rows, kOut, [&](bool accumulate, const auto& out) {
        TestFixture::Token::linear(*this->stream_, this->kAnywhere, {TokenPass::kPrefill, tile},
                                   from.slice_rows(0, rows), matrix.device, false, accumulate,
                                   split, out);
      });
      all.resize(3 * kOut);
      return all;
    };
    const auto alone = product(3, 0);
    for (const std::int64_t rows : {3, 17, 140}) {
      for (int tile = kTileByRule; tile < static_cast<int>(std::size(kPartTiles)); ++tile) {
        EXPECT_EQ(product(rows, tile), alone)
            << name_of(format) << ", rows " << rows << ", " << tile;
      }
    }
  }
}

// Rows that are multiplied together give, bit for bit, what each gives alone: in decode passes with
// a norm, and in prefill.
TYPED_TEST(CudaDecoder, BatchingChangesNoBit) {
  constexpr std::int64_t kIn = 1000;
  constexpr std::int64_t kOut = 33;
  constexpr std::int64_t kRows = 130;
  for (const WeightFormat& format :
       {WeightFormat::kF32, WeightFormat::kBF16, WeightFormat::int8(), WeightFormat::int4()}) {
    const auto norm = this->norm(kIn);
    const auto matrix = this->matrix(kIn, kOut, format);
    const auto from = this->rows(this->activations(kRows * kIn, 3), kRows);
    const auto scratch = this->rows(this->nothing(kRows * kIn), kRows);
    const auto decoded = [&](std::int64_t first, std::int64_t rows) {
      const View<float> out{this->upload(this->nothing(rows * kOut)), rows, kOut, kOut};
      TestFixture::Token::logits(*this->stream_, this->kAnywhere, from.slice_rows(first, rows),
                                 norm.device, matrix.device,
                                 this->scratch_of(rows, matrix, scratch.slice_rows(0, rows)), out);
      return this->content(out);
    };
    const auto expect_same = [&](const auto& run, std::initializer_list<std::int64_t> counts) {
      std::vector<float> alone;
      for (std::int64_t r = 0; r < *(counts.end() - 1); ++r) {
        const auto one = run(r, 1);
        alone.insert(alone.end(), one.begin(), one.end());
      }
      for (const std::int64_t rows : counts) {
        const auto together = run(0, rows);
        EXPECT_TRUE(std::equal(together.begin(), together.end(), alone.begin()))
            << name_of(format) << ", rows " << rows;
      }
    };
    expect_same(decoded, {2, 7, 8, 9, 16, 17, 33, 64});
    if (sizeof(typename TypeParam::E) != 2 || format == WeightFormat::kF32) continue;
    this->each_product([&](const DeviceShape& device, TokenPass pass) {
      if (pass == TokenPass::kDecode) return;
      const auto prefilled = [&](std::int64_t first, std::int64_t rows) {
        const auto out = this->rows(this->nothing(rows * kOut), rows);
        TestFixture::Token::linear(*this->stream_, device, pass, from.slice_rows(first, rows),
                                   matrix.device, false, false, {}, out);
        return this->content(out);
      };
      expect_same(prefilled, {5, 17, 70, 130});
    });
  }
}

}  // namespace
}  // namespace fvlm
