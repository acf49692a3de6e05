// Which tokens an answer may have: those of the tokenizer, and no ids beyond, whatever their
// logits.
#include "tests/runtime/engine/fixture.hpp"
#include "tests/tools/cli_checkpoint.hpp"

namespace fvlm {
namespace {

constexpr std::size_t kTokens = 1000;  // of the tiny checkpoint's tokenizer
constexpr std::size_t kRows = 1024;    // of its embedding

// Rows [first, end) of the tied embedding become very large, with this sign and the other in turn,
// so that two of them make one of their ids by far the likeliest.
void favour(const CheckpointCopy& checkpoint, std::size_t first, std::size_t end, int first_sign) {
  checkpoint.change_weights([=](const auto& header, std::string& data) {
    const auto begin =
        header.at("model.embed_tokens.weight")["data_offsets"][0].template get<std::size_t>();
    constexpr std::size_t kHidden = 64;
    for (std::size_t i = first * kHidden; i < end * kHidden; ++i) {
      const bool negative = ((i / kHidden - first) % 2 == 0) == (first_sign < 0);
      data[begin + 2 * i] = '\0';
      data[begin + 2 * i + 1] = static_cast<char>(negative ? 0xc2 : 0x42);  // bfloat16 of 32
    }
  });
}

std::unique_ptr<Engine> load(const std::string& folder, Device device) {
  EngineOptions options;
  options.model_path = folder;
  options.device = device;
  options.precision = Precision::kF32;
  options.threads = 1;
  options.context_tokens = 512;
  return Engine::load(options);
}

Request with(double temperature, std::int64_t top_k, std::int64_t beams) {
  Request request = ask("count: " + digits(9));
  request.sampling.temperature = temperature;
  request.sampling.top_k = top_k;
  request.sampling.top_p = 0.9;
  request.sampling.num_beams = beams;
  request.sampling.seed = 3;
  return request;
}

class EngineTokens : public testing::TestWithParam<Device> {};

// As Apple's loader cuts the head.
TEST_P(EngineTokens, IdsWithoutATokenAreNeitherChosenNorCounted) {
  const auto plain = load((kGoldenTiny / "checkpoint").string(), GetParam());
  const CheckpointCopy changed;
  favour(changed, kTokens, kRows, 1);
  const auto padded = load(changed.path(), GetParam());
  for (const Request& request :
       {with(0, 50, 1), with(1, 50, 1), with(1, 0, 1), with(0, 0, 3), with(1, 50, 3)}) {
    EXPECT_EQ(padded->run(request).tokens, plain->run(request).tokens)
        << request.sampling.temperature << ", " << request.sampling.num_beams << " beams";
  }
}

// "<im_patch>", which Apple's loader adds unless config.json says otherwise, has an id: the first
// beyond the tokenizer's. It has no text.
TEST_P(EngineTokens, ThePatchTokenIsOneMore) {
  int chosen = 0;
  for (const int sign : {1, -1}) {
    const CheckpointCopy changed;
    favour(changed, kTokens, kRows, sign);
    changed.change_config([](auto& config) { config.erase("mm_use_im_patch_token"); });
    const Result result = load(changed.path(), GetParam())->run(with(0, 50, 1));
    for (const std::int32_t token : result.tokens) {
      EXPECT_LE(token, static_cast<std::int32_t>(kTokens));
      if (token == static_cast<std::int32_t>(kTokens)) ++chosen;
    }
  }
  EXPECT_GT(chosen, 0);
}

// As predict.py decodes.
TEST_P(EngineTokens, SpecialTokensAreNoText) {
  constexpr std::int32_t kStart = 998;  // "<|im_start|>"
  std::int64_t chosen = 0;
  for (const int sign : {1, -1}) {
    const CheckpointCopy changed;
    favour(changed, kStart, kStart + 1, sign);
    const Result result = load(changed.path(), GetParam())->run(with(0, 50, 1));
    chosen += std::ranges::count(result.tokens, kStart);
    EXPECT_EQ(result.text.find("<|im_start|>"), std::string::npos) << result.text;
  }
  EXPECT_GT(chosen, 0);
}

TEST_P(EngineTokens, RefusesPromptsThatApplesCodeWouldCut) {
  const CheckpointCopy changed;
  changed.change_config([](auto& config) { config["tokenizer_model_max_length"] = 40; });
  const auto engine = load(changed.path(), GetParam());
  EXPECT_NO_THROW(engine->run(ask(digits(4))));
  EXPECT_PRED2(contains, error_of([&] { engine->run(ask(digits(100))); }),
               "tokenizer_model_max_length");
}

INSTANTIATE_TEST_SUITE_P(Devices, EngineTokens, every_device());

}  // namespace
}  // namespace fvlm
