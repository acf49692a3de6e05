// Plan refuses operations whose shapes do not fit together, in every build.
#include "kernels/plan/plan.hpp"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <stdexcept>
#include <string>

namespace fvlm {
namespace {

using Map = FeatureMap<float>;

View<float> rows(std::int64_t count, std::int64_t cols) {
  return {nullptr, count, cols, cols};
}

class PlanTest : public testing::Test {
 protected:
  static Plan::Linear linear(std::int64_t in, std::int64_t out) {
    return Plan().pack(LinearSpec{.in = in, .parts = {{"", out}}});
  }
  static Plan::Depthwise filters(std::int64_t channels, std::int64_t stride) {
    return Plan().pack(DepthwiseSpec{.in = channels, .stride = stride});
  }
  static bool fits(const std::function<void(Plan&, Plan::Context&)>& operation) {
    Plan plan;
    Plan::Context context = Plan::make_context();
    try {
      operation(plan, context);
      return true;
    } catch (const std::logic_error& error) {
      EXPECT_NE(std::string(error.what()).find("shapes do not fit together"), std::string::npos);
      return false;
    }
  }
};

TEST_F(PlanTest, Encoder) {
  const auto stem = [](std::int64_t side, std::int64_t channels) {
    return fits([&](Plan& plan, Plan::Context& context) {
      plan.stem(context, {nullptr, 2, side, 64, 3}, Plan().pack(StemSpec{.out = 8}), filters(8, 2),
                Map{nullptr, 2, 16, 16, channels});
    });
  };
  EXPECT_TRUE(stem(64, 8));
  EXPECT_FALSE(stem(32, 8));
  EXPECT_FALSE(stem(64, 16));

  const auto depthwise = [](std::int64_t channels, std::int64_t height) {
    return fits([&](Plan& plan, Plan::Context& context) {
      plan.depthwise(context, Map{nullptr, 1, 16, 16, 8}, filters(channels, 2), Activation::kGelu,
                     Map{nullptr, 1, height, 8, 8});
    });
  };
  EXPECT_TRUE(depthwise(8, 8));
  EXPECT_FALSE(depthwise(4, 8));
  EXPECT_FALSE(depthwise(8, 16));

  const auto conv_ffn = [](std::int64_t in, std::int64_t hidden, std::int64_t out) {
    return fits([&](Plan& plan, Plan::Context& context) {
      const Map map{nullptr, 1, 4, 4, 8};
      plan.conv_ffn(context, map, filters(8, 1), linear(in, 32), linear(hidden, out), map);
    });
  };
  EXPECT_TRUE(conv_ffn(8, 32, 8));
  EXPECT_FALSE(conv_ffn(4, 32, 8));
  EXPECT_FALSE(conv_ffn(8, 16, 8));
  EXPECT_FALSE(conv_ffn(8, 32, 4));

  const auto attention = [](std::int64_t images, std::int64_t head_dim, std::int64_t cols) {
    return fits([&](Plan& plan, Plan::Context& context) {
      plan.image_attention(context, rows(8, 96), images, head_dim, rows(8, cols));
    });
  };
  EXPECT_TRUE(attention(2, 16, 32));
  EXPECT_FALSE(attention(3, 16, 32));
  EXPECT_FALSE(attention(2, 24, 32));
  EXPECT_FALSE(attention(2, 16, 16));

  const auto squeeze = [](std::int64_t reduced, std::int64_t out) {
    return fits([&](Plan& plan, Plan::Context& context) {
      const Map map{nullptr, 1, 4, 4, 8};
      plan.squeeze_excite(context, map, linear(8, 2), linear(reduced, out), map);
    });
  };
  EXPECT_TRUE(squeeze(2, 8));
  EXPECT_FALSE(squeeze(4, 8));
  EXPECT_FALSE(squeeze(2, 4));
}

TEST_F(PlanTest, RowsAndColumns) {
  const auto fit_linear = [](std::int64_t in, std::int64_t out_rows, std::int64_t out) {
    return fits([&](Plan& plan, Plan::Context& context) {
      plan.linear(context, rows(3, in), linear(8, 16), Epilogue{}, rows(out_rows, out));
    });
  };
  EXPECT_TRUE(fit_linear(8, 3, 16));
  EXPECT_FALSE(fit_linear(4, 3, 16));
  EXPECT_FALSE(fit_linear(8, 2, 16));
  EXPECT_FALSE(fit_linear(8, 3, 8));

  const auto norm = [](std::int64_t channels, std::int64_t out_rows) {
    return fits([&](Plan& plan, Plan::Context& context) {
      plan.layer_norm(context, rows(3, 8), plan.pack(NormSpec{.channels = channels}),
                      rows(out_rows, 8));
    });
  };
  EXPECT_TRUE(norm(8, 3));
  EXPECT_FALSE(norm(4, 3));
  EXPECT_FALSE(norm(8, 4));

  const auto embed = [](std::int64_t out_rows, std::int64_t cols) {
    return fits([&](Plan& plan, Plan::Context& context) {
      plan.embed(context, std::array<std::int32_t, 3>{}, linear(8, 100), rows(out_rows, cols));
    });
  };
  EXPECT_TRUE(embed(3, 8));
  EXPECT_FALSE(embed(4, 8));
  EXPECT_FALSE(embed(3, 16));
}

TEST_F(PlanTest, Decoder) {
  struct Pass {
    std::int64_t tokens = 5;
    std::int64_t qkv = (4 + 2 * 2) * 16;
    std::int64_t layer = 1;
    std::int64_t cached_heads = 2;
    std::int64_t norm = 32;
  };
  const auto attends = [](const Pass& pass) {
    return fits([&](Plan& plan, Plan::Context& context) {
      const AttentionShape shape{.heads = 4, .kv_heads = 2, .head_dim = 16};
      CacheShape cache{.layers = 2, .pages = 1, .kv_heads = pass.cached_heads, .head_dim = 16};
      DecoderBatch batch;
      batch.add(pass.tokens, 0, {});
      plan.attention_input(context, rows(5, 32), plan.pack(NormSpec{.channels = pass.norm}),
                           linear(32, pass.qkv), shape, batch, pass.layer, cache, rows(5, 64));
      plan.attention(context, rows(5, 64), shape, batch, pass.layer, cache, rows(5, 64));
    });
  };
  EXPECT_TRUE(attends({}));
  EXPECT_FALSE(attends({.tokens = 4}));
  EXPECT_FALSE(attends({.qkv = 64}));
  EXPECT_FALSE(attends({.layer = 2}));
  EXPECT_FALSE(attends({.cached_heads = 4}));
  EXPECT_FALSE(attends({.norm = 64}));

  const auto swiglu = [](std::int64_t out) {
    return fits([&](Plan& plan, Plan::Context& context) {
      plan.swiglu(context, rows(5, 32), plan.pack(NormSpec{.channels = 32}), linear(32, 128),
                  rows(5, out));
    });
  };
  EXPECT_TRUE(swiglu(64));
  EXPECT_FALSE(swiglu(128));

  const auto logits = [](std::int64_t vocabulary) {
    return fits([&](Plan& plan, Plan::Context& context) {
      plan.logits(context, rows(5, 32), plan.pack(NormSpec{.channels = 32}), linear(32, 100),
                  rows(5, vocabulary));
    });
  };
  EXPECT_TRUE(logits(100));
  EXPECT_FALSE(logits(99));
}

}  // namespace
}  // namespace fvlm
