// What the engine answers: the same however work was batched, whatever is in the prefix cache, and
// within the limits it was given.
#include "fvlm/engine.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "runtime/checkpoint/checkpoint.hpp"
#include "tests/runtime/engine/fixture.hpp"

namespace fvlm {
namespace {

using TurnRole = Turn::Role;

TEST_P(EngineTest, SaysWhatItRuns) {
  const auto engine = load(1000);
  const EngineInfo& info = engine->info();
  const bool tiny = std::get<0>(GetParam()) == "tiny";
  EXPECT_EQ(info.image_size, tiny ? 256 : 128);
  EXPECT_EQ(info.image_tokens, tiny ? 16 : 4);
  EXPECT_EQ(info.context_tokens, 1000);
  EXPECT_EQ(info.precision, "f32");
  EXPECT_GT(info.parameters, 0);
  // In f32, less what norms and scales that are folded into others take.
  EXPECT_GT(10 * info.weight_bytes, 9 * 4 * info.parameters);
}

TEST_P(EngineTest, TheCacheIsAsLargeAsAsked) {
  EXPECT_EQ(load(1000)->info().cache_tokens, 4 * 1024);
  const auto engine = load(1000, 200);
  EXPECT_EQ(engine->info().cache_tokens, 256) << "whole pages";
  EXPECT_EQ(engine->run(ask("Hello")).outcome, Outcome::kLength);
  EXPECT_EQ(engine->counters().cache_pages, 4);
  Request long_one = ask("Hello");
  long_one.sampling.max_new_tokens = 500;
  EXPECT_NE(refusal(*engine, long_one).find("KV cache, which has 4"), std::string::npos);
}

TEST_P(EngineTest, AnEqualRequestIsAnsweredEquallyFromTheCache) {
  Request request = ask("What is this?", {picture(90, 60, 1)});
  request.sampling.logprobs = 3;
  const auto engine = load();
  const Result first = engine->run(request);
  const Result second = engine->run(request);
  EXPECT_EQ(bits_of(second), bits_of(first));
  EXPECT_EQ(first.outcome, Outcome::kLength);
  EXPECT_EQ(first.tokens.size(), 12U);
  EXPECT_EQ(first.statistics.new_tokens, 12);
  EXPECT_EQ(first.statistics.cached_tokens, 0);
  EXPECT_EQ(second.statistics.cached_tokens, second.statistics.prompt_tokens - 1);
  EXPECT_EQ(second.tokens, first.tokens);
  EXPECT_EQ(second.text, first.text);
  EXPECT_EQ(fresh(request).tokens, first.tokens);
  EXPECT_EQ(first.text, text_of(first.tokens));
}

TEST_P(EngineTest, AnotherImageSharesNoMoreThanWhatIsBeforeIt) {
  const Request one = ask("What is this?", {picture(90, 60, 1)});
  const Request other = ask("What is this?", {picture(90, 60, 2)});
  const auto engine = load();
  const Result before = engine->run(one);
  const Result result = engine->run(other);
  EXPECT_EQ(result.statistics.cached_tokens, positions_before_image(other));
  EXPECT_EQ(result.tokens, fresh(other).tokens);
  EXPECT_NE(result.tokens, before.tokens);
  EXPECT_EQ(engine->run(one).tokens, before.tokens);  // still there, and unharmed
}

// Ten questions, whose prompts share nothing that the prefix cache could keep.
TEST_P(EngineTest, AnImageIsEncodedOnce) {
  const auto engine = load(2048, 0, std::size_t{1} << 20);
  const PreparedImage image = picture(90, 60, 1);
  for (std::int64_t i = 0; i < 10; ++i) {
    const Request request = ask_placed(digits(1, i) + "* What is this?", {image}, 4);
    const Result result = engine->run(request);
    EXPECT_EQ(result.statistics.encoded_images, i == 0 ? 1 : 0);
    EXPECT_EQ(result.tokens, fresh(request).tokens);
  }
  EXPECT_EQ(engine->counters().encoder_batches.sum(), 1);
  EXPECT_EQ(engine->counters().reused_images, 9);
}

// Also if it is several times in one prompt, and in others beside it.
TEST_P(EngineTest, AnImageIsEncodedOnceForABatch) {
  const auto engine = load();
  const PreparedImage image = picture(90, 60, 1);
  const Request twice = ask("Compare", {image, image}, 4);
  const Result result = engine->run(twice);
  EXPECT_EQ(result.tokens, fresh(twice).tokens);
  EXPECT_EQ(result.statistics.encoded_images, 1);
  EXPECT_EQ(engine->counters().encoder_batches.sum(), 1);
  EXPECT_EQ(engine->counters().reused_images, 1);
}

// There is room for one: each image takes the other's place.
TEST_P(EngineTest, ImagesMakeRoomForOthers) {
  const FastVlmConfig config = Checkpoint::open(folder()).config();
  const auto one =
      static_cast<std::size_t>(config.vision.tokens() * config.text.hidden_size) * sizeof(float);
  const auto engine = load(2048, 0, one);
  std::int64_t i = 0;
  for (const auto& [variant, encoded] : {std::pair(1, 1), {2, 1}, {2, 0}, {1, 1}, {1, 0}}) {
    const Request request =
        ask_placed(digits(1, i++) + "* What is this?", {picture(90, 60, variant)}, 4);
    const Result result = engine->run(request);
    EXPECT_EQ(result.tokens, fresh(request).tokens);
    EXPECT_EQ(result.statistics.encoded_images, encoded) << i;
  }
}

// An image at the encoder's size is taken as it is, so a client chooses every byte that is hashed.
// Of hashes without a secret, collisions are made at will: for FNV-1a over words of 8 bytes, where
// the exclusive or of the second word undoes what the first one changed.
TEST_P(EngineTest, ACollisionMadeForAKnownHashFindsNobodysImage) {
  const auto engine = load();
  const std::int64_t side = engine->info().image_size;
  const PreparedImage secret = picture(side, side, 1);
  std::vector<std::uint8_t> bytes(secret.pixels.get(), secret.pixels.get() + side * side * 3);
  const auto state_after = [](std::uint64_t word) {
    const std::uint64_t state = (0xcbf29ce484222325U ^ word) * 0x100000001b3U;
    return state ^ state >> 29;
  };
  std::array<std::uint64_t, 2> words{};
  std::memcpy(words.data(), bytes.data(), sizeof(words));
  words[1] ^= state_after(words[0]) ^ state_after(~words[0]);
  words[0] = ~words[0];
  std::memcpy(bytes.data(), words.data(), sizeof(words));
  const PreparedImage forged = seen(Image{side, side, bytes}, side);
  engine->run(ask("What is this?", {secret}));
  const Request request = ask("What is this?", {forged});
  const Result result = engine->run(request);
  EXPECT_EQ(result.statistics.cached_tokens, positions_before_image(request));
  EXPECT_EQ(result.tokens, fresh(request).tokens);
}

TEST_P(EngineTest, AConversationGoesOnFromItsCache) {
  const auto engine = load();
  Request request = ask("What is this?", {picture(64, 64, 3)});
  std::int64_t before = 0;
  for (const char* next : {"Are you sure?", "And what else?", "Thank you."}) {
    const Result result = engine->run(request);
    EXPECT_GE(result.statistics.cached_tokens, before);
    EXPECT_EQ(result.tokens, fresh(request).tokens);
    before = result.statistics.prompt_tokens;  // the next prompt begins with this one
    request.conversation.push_back({TurnRole::kAssistant, result.text, {}});
    request.conversation.push_back({TurnRole::kUser, next, {}});
  }
  EXPECT_GT(before, 0);
}

TEST_P(EngineTest, SeveralImagesKeepTheirOrder) {
  const PreparedImage a = picture(80, 50, 4);
  const PreparedImage b = picture(30, 70, 5);
  const auto engine = load();
  const Result ab = engine->run(ask("Compare.", {a, b}));
  const Result ba = engine->run(ask("Compare.", {b, a}));
  EXPECT_EQ(ab.statistics.prompt_tokens, ba.statistics.prompt_tokens);
  EXPECT_NE(ab.tokens, ba.tokens);
  EXPECT_EQ(ba.tokens, fresh(ask("Compare.", {b, a})).tokens);
  // The same prompt with its places written out.
  const Result placed = engine->run(ask_placed("*\n*\nCompare.", {a, b}));
  EXPECT_EQ(placed.tokens, ab.tokens);
  EXPECT_EQ(placed.statistics.cached_tokens, placed.statistics.prompt_tokens - 1);
  EXPECT_NE(engine->run(ask_placed("Is * like *?", {a, b})).tokens, ab.tokens);
}

TEST_P(EngineTest, AnImageOfAnySizeIsServed) {
  const auto engine = load();
  for (const auto& [width, height] : {std::pair{1, 1}, {1, 700}, {700, 1}, {2, 3}}) {
    const Result result = engine->run(ask("What?", {picture(width, height, 6)}, 3));
    EXPECT_EQ(result.outcome, Outcome::kLength) << width << "x" << height << ": " << result.error;
  }
}

TEST_P(EngineTest, TheContextLimitsPromptAndAnswer) {
  constexpr std::int64_t kContext = 128;
  const auto engine = load(kContext);
  const std::int64_t frame = engine->run(ask("", {}, 1)).statistics.prompt_tokens;
  const auto of_length = [&](std::int64_t positions) {
    return ask(digits(positions - frame), {}, 50);
  };

  for (const std::int64_t positions : {kContext - 1, kContext - 2, kContext - 20}) {
    const Result result = engine->run(of_length(positions));
    EXPECT_EQ(result.statistics.prompt_tokens, positions);
    EXPECT_EQ(result.outcome, Outcome::kLength);
    EXPECT_EQ(std::ssize(result.tokens), kContext - positions);
  }
  for (const std::int64_t positions : {kContext, kContext + 1, 3 * kContext}) {
    const std::string message = refusal(*engine, of_length(positions));
    EXPECT_NE(message.find("context"), message.npos) << message;
    EXPECT_NE(message.find(std::to_string(positions)), message.npos) << message;
  }
  EXPECT_EQ(std::ssize(engine->run(ask("", {}, 7)).tokens), 7);  // goes on as if nothing had been
}

TEST_P(EngineTest, ImagesCountTowardsTheContext) {
  const auto engine = load(64);
  const std::vector<PreparedImage> many(20, picture(8, 8, 1));
  EXPECT_NE(refusal(*engine, ask("Hi", many)).find("20 images"), std::string::npos);
}

TEST_P(EngineTest, RefusesWhatItCannotServe) {
  const auto engine = load(256);
  Request request = ask("Hi");
  request.sampling.top_p = 0;
  EXPECT_NE(refusal(*engine, request).find("top_p"), std::string::npos);
  request = ask("Hi");
  request.sampling.max_new_tokens = 0;
  EXPECT_NE(refusal(*engine, request).find("max_new_tokens"), std::string::npos);
  request = ask("Hi", {}, 250);
  request.sampling.num_beams = 64;
  EXPECT_NE(refusal(*engine, request).find("64 beams"), std::string::npos);
  EXPECT_NE(refusal(*engine, ask_placed("*", std::vector(2, picture(4, 4, 1)))), "");
  EXPECT_NE(refusal(*engine, Request{}).find("user"), std::string::npos);
  EXPECT_NE(refusal(*engine, ask("Hi", {PreparedImage{}})).find("prepare()"), std::string::npos);
  const PreparedImage other = seen(Image{1, 1, {1, 2, 3}}, 64);
  EXPECT_NE(refusal(*engine, ask("Hi", {other})).find("64 pixels a side"), std::string::npos);
  EXPECT_EQ(engine->run(ask("Hi", {}, 3)).outcome, Outcome::kLength);
}

TEST_P(EngineTest, TheSeedDecides) {
  const auto engine = load();
  const auto answer = [&](std::optional<std::uint64_t> seed) {
    Request request = ask("Tell me a story.");
    request.sampling.temperature = 1;
    request.sampling.top_k = 0;
    request.sampling.seed = seed;
    return engine->run(request).text;
  };
  const std::string first = answer(1);
  EXPECT_EQ(answer(1), first);
  EXPECT_NE(answer(2), first);
  EXPECT_NE(answer(std::nullopt), answer(std::nullopt));
}

TEST_P(EngineTest, BeamsAnswerWithTheBest) {
  Request request = ask("What is this?", {picture(50, 50, 8)});
  request.sampling.num_beams = 3;
  const auto engine = load();
  const Result result = engine->run(request);
  EXPECT_EQ(result.outcome, Outcome::kLength);
  EXPECT_EQ(result.tokens.size(), 12U);
  EXPECT_EQ(result.text, text_of(result.tokens));
  const Result again = engine->run(request);
  EXPECT_GT(again.statistics.cached_tokens, 0);
  EXPECT_EQ(again.tokens, result.tokens);
  EXPECT_EQ(fresh(request).tokens, result.tokens);
}

// Prompts of several prefill pieces (of at most 512 positions) take their time on Ref, so that only
// the smaller model runs them.
class LongPromptTest : public EngineTest {};

TEST_P(LongPromptTest, IsAnsweredAsFromAnyCachedPart) {
  // The border of the first piece falls inside the image, which must not be cut.
  const auto prompt = [](std::int64_t after) {
    Request request = ask_placed(digits(480) + "*" + digits(after), {picture(40, 40, 7)}, 8);
    request.sampling.logprobs = 3;
    return request;
  };
  ASSERT_LT(positions_before_image(prompt(0)), 512);
  ASSERT_GT(positions_before_image(prompt(0)) + 16, 512);
  const Result whole = fresh(prompt(600));
  EXPECT_EQ(whole.statistics.cached_tokens, 0);
  EXPECT_GT(whole.statistics.prompt_tokens, 2 * 512);
  const auto engine = load();
  engine->run(prompt(100));
  const Result rest = engine->run(prompt(600));
  EXPECT_GT(rest.statistics.cached_tokens, 512 + 100);
  EXPECT_EQ(rest.tokens, whole.tokens);
  EXPECT_EQ(bits_of(rest), bits_of(whole));
}

TEST_P(LongPromptTest, AFullCacheMakesRoom) {
  // The cache has 4 x 16 pages. What an earlier request left and three running ones fill it, so
  // that the last must drop the very sequence that begins like itself.
  constexpr std::int64_t kContext = 1024;
  const auto prompt = [](std::int64_t variant) { return ask(digits(950, variant), {}, 20); };
  const auto engine = load(kContext);
  EXPECT_GT(engine->run(prompt(0)).statistics.prompt_tokens, 15 * 64);
  std::vector<Listener> listeners(3);
  for (std::size_t i = 0; i < 3; ++i) {
    engine->submit(listeners[i].attach(prompt(static_cast<std::int64_t>(i) + 1)));
  }
  const Request last = ask("Hi", {}, 5);
  EXPECT_EQ(engine->run(last).tokens, fresh(last).tokens);
  for (Listener& listener : listeners) {
    const Result result = listener.result();
    EXPECT_EQ(result.outcome, Outcome::kLength) << result.error;
  }
  EXPECT_EQ(listeners[2].result().tokens, fresh(prompt(3)).tokens);
}

// What is said after its text, with the white space between them.
TEST_P(EngineTest, ALastTurnOfTheAssistantIsContinued) {
  const auto engine = load();
  const auto tokenizer = Tokenizer::load(folder());
  const std::vector<std::int32_t> token = {tokenizer.encode(" a").at(0)};
  const std::string text = tokenizer.decode(token);
  ASSERT_GT(text.size(), 1U);
  ASSERT_EQ(text[0], ' ');
  Request request = ask("Hi", {}, 2);
  request.sampling.logit_bias = {{token[0], 100}};
  EXPECT_EQ(engine->run(request).text, text.substr(1) + text);
  request.conversation.push_back({Turn::Role::kAssistant, "It is", {}});
  EXPECT_EQ(engine->run(request).text, text + text);
  request.conversation.back().text.clear();
  EXPECT_EQ(engine->run(request).text, text.substr(1) + text) << "nothing was said yet";
}

INSTANTIATE_TEST_SUITE_P(All, EngineTest, kEveryEngine, engine_test_name);
INSTANTIATE_TEST_SUITE_P(All, LongPromptTest, kTinyEngines, engine_test_name);

}  // namespace
}  // namespace fvlm
