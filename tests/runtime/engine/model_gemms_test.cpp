// The products that `bench --kernels` lists are those of a model's passes.
#include "runtime/engine/model_gemms.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "runtime/checkpoint/weights.hpp"
#include "runtime/config/model_sizes.hpp"

namespace fvlm {
namespace {

std::vector<ModelGemm> gemms_of(const FastVlmConfig& config, const GemmPasses& passes) {
  return model_gemms(config, WeightFormat::int8(), passes,
                     [](GemmCounter& plan, FastVlm<GemmCounter>& model) {
                       ShapeLoader<GemmCounter> shapes(plan);
                       model.visit(shapes);
                     });
}

// Floating-point operations of the operations that are products.
double product_flops(const FastVlmConfig& config, std::int64_t rows) {
  WorkCounter plan;
  FastVlm<WorkCounter> model(config);
  ShapeLoader<WorkCounter> shapes(plan);
  model.visit(shapes);
  WorkCounter::Context context = WorkCounter::make_context();
  CacheShape cache;
  DecoderBatch batch;
  batch.add(rows, 0, {});
  const std::int64_t hidden = config.text.hidden_size;
  const std::int64_t vocabulary = config.text.vocab_size;
  model.decoder.forward(plan, context, batch, cache, {nullptr, rows, hidden, hidden});
  model.decoder.logits(plan, context, {nullptr, rows, hidden, hidden},
                       {nullptr, rows, vocabulary, vocabulary});
  double flops = 0;
  for (const Operation& operation : plan.sink().operations) {
    if (operation.name != "attention") flops += operation.flops;
  }
  return flops;
}

TEST(ModelGemms, AreAllProductsOfADecodeStep) {
  const FastVlmConfig config = config_of(sizes().front());
  const auto gemms = gemms_of(config, {.images = {}, .prefill_rows = 10, .decode_rows = {3}});
  double flops = 0;
  std::string names;
  for (const ModelGemm& one : gemms) {
    if (one.stage != ModelGemm::Stage::kDecode) continue;
    EXPECT_EQ(one.pass(), "decode 3");
    EXPECT_EQ(one.gemm.rows, 3);
    EXPECT_EQ(one.gemm.weights.format, WeightFormat::int8());
    EXPECT_EQ(one.count, one.name == "head" ? 1 : config.text.layers);
    const MatrixShape& weights = one.gemm.weights;
    flops += 2.0 * static_cast<double>(one.count * one.gemm.rows * weights.out * weights.in);
    names += one.name + " ";
  }
  EXPECT_EQ(names, "qkv o gate_up down head ");
  EXPECT_DOUBLE_EQ(flops, product_flops(config, 3));
}

TEST(ModelGemms, OfTheEncoderHaveTheRowsOfAllImages) {
  const FastVlmConfig config = config_of(sizes().front());
  const auto one = gemms_of(config, {.images = {1}, .prefill_rows = 10, .decode_rows = {}});
  const auto eight = gemms_of(config, {.images = {8}, .prefill_rows = 10, .decode_rows = {}});
  ASSERT_EQ(one.size(), eight.size());
  for (std::size_t i = 0; i < one.size() && one[i].stage == ModelGemm::Stage::kEncoder; ++i) {
    EXPECT_EQ(eight[i].gemm.rows, 8 * one[i].gemm.rows);
    EXPECT_EQ(eight[i].pass(), "encoder 8");
  }
  const auto first_layer = std::find_if(one.begin(), one.end(), [](const ModelGemm& gemm) {
    return gemm.gemm.kind == PlannedGemm::Kind::kFeedForward;
  });
  ASSERT_NE(first_layer, one.end());
  EXPECT_EQ(first_layer->gemm.rows, 256 * 256);
  EXPECT_EQ(first_layer->gemm.weights.in, 96);
  EXPECT_EQ(first_layer->gemm.weights.out, 384);
}

}  // namespace
}  // namespace fvlm
