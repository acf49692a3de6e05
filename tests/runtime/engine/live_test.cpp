// Live views: speculative decoding from the last answer, unchanged frames, and many cameras at
// once. However frames are batched or drafted, the answers are those of one frame alone.
#include <future>
#include <set>
#include <span>
#include <thread>

#include "bench/live_scene.hpp"
#include "tests/runtime/engine/fixture.hpp"

namespace fvlm {
namespace {

class EngineLiveTest : public EngineTest {};

Request look(std::uint64_t view, int variant, std::int64_t tokens = 30) {
  Request request = ask("What is it?", {picture(40, 30, variant)}, tokens);
  request.live = LiveView{.id = view};
  return request;
}

TEST_P(EngineLiveTest, ADraftMakesTheSameAnswerInFewerSteps) {
  const auto engine = load();
  const Result first = engine->run(look(1, 0));
  EXPECT_EQ(first.statistics.drafted_tokens, 0);
  const EngineCounters before = engine->counters();
  const Result second = engine->run(look(1, 0));
  const EngineCounters after = engine->counters();
  EXPECT_EQ(second.tokens, first.tokens);
  EXPECT_EQ(second.text, first.text);
  EXPECT_FALSE(second.unchanged);
  EXPECT_GT(second.statistics.accepted_tokens, 20);
  EXPECT_EQ(second.statistics.accepted_tokens, second.statistics.drafted_tokens);
  EXPECT_LE(after.decode_batches.count() - before.decode_batches.count(), 6);
}

TEST_P(EngineLiveTest, AWrongDraftChangesNothing) {
  const auto engine = load();
  engine->run(look(1, 0));
  Request drawn = look(1, 1);
  drawn.sampling.temperature = 0.8;
  drawn.sampling.repetition_penalty = 1.2;
  drawn.sampling.seed = 5;
  Request alone = drawn;
  alone.live.reset();
  EXPECT_EQ(engine->run(drawn).tokens, fresh(alone).tokens);
  const Result greedy = engine->run(look(1, 2));
  EXPECT_EQ(greedy.tokens, fresh(look(9, 2)).tokens);
  EXPECT_GT(greedy.statistics.drafted_tokens, 0);
}

TEST_P(EngineLiveTest, WithoutDraftsNothingIsProposed) {
  const auto engine = load();
  for (int i = 0; i < 2; ++i) {
    Request request = look(1, 0);
    request.live->draft = false;
    EXPECT_EQ(engine->run(request).statistics.drafted_tokens, 0);
  }
}

TEST_P(EngineLiveTest, AnUnchangedFrameIsAnsweredWithoutLooking) {
  const auto engine = load();
  const auto again = [](int variant, double threshold = 2) {
    Request request = look(1, variant);
    request.live->unchanged_below = threshold;
    return request;
  };
  const Result first = engine->run(again(0));
  EXPECT_FALSE(first.unchanged);
  const EngineCounters before = engine->counters();
  Listener listener;
  engine->submit(listener.attach(again(0)));
  const Result second = listener.result();
  EXPECT_TRUE(second.unchanged);
  EXPECT_EQ(second.tokens, first.tokens);
  EXPECT_EQ(second.text, first.text);
  EXPECT_EQ(second.outcome, first.outcome);
  EXPECT_EQ(second.statistics.new_tokens, 0);
  EXPECT_EQ(second.statistics.tokens_per_second(), 0);
  ASSERT_EQ(listener.pieces().size(), 1U);
  EXPECT_EQ(listener.pieces()[0], first.text);
  EXPECT_EQ(engine->counters().prefill_batches.count(), before.prefill_batches.count());

  EXPECT_FALSE(engine->run(again(0, 0)).unchanged) << "it was not asked for";
  Request other_prompt = again(0);
  other_prompt.conversation[0].text = "And what else?";
  EXPECT_FALSE(engine->run(other_prompt).unchanged);
  EXPECT_FALSE(engine->run(again(0)).unchanged) << "the last answer is to another prompt";
  EXPECT_FALSE(engine->run(again(3)).unchanged) << "another picture";
  EXPECT_TRUE(engine->run(again(3)).unchanged);
  engine->end_live(1);
  EXPECT_FALSE(engine->run(again(3)).unchanged) << "forgotten";
}

TEST_P(EngineLiveTest, ViewsDoNotMix) {
  const auto engine = load();
  constexpr std::size_t kViews = 3;
  std::vector<Listener> listeners(3 * kViews);
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    engine->submit(listeners[i].attach(look(i % kViews, static_cast<int>(i % kViews), 8)));
  }
  std::vector<Result> alone;
  const auto other = load();
  for (std::size_t view = 0; view < kViews; ++view) {
    alone.push_back(other->run(ask("What is it?", {picture(40, 30, static_cast<int>(view))}, 8)));
  }
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    EXPECT_EQ(listeners[i].result().tokens, alone[i % kViews].tokens) << i;
  }
  const EngineCounters counters = engine->counters();
  EXPECT_GE(counters.encoder_batches.sum(), static_cast<std::int64_t>(kViews));
  EXPECT_GT(counters.decode_batches.sum(), counters.decode_batches.count());
}

TEST_P(EngineLiveTest, RefusesWhatItHasNoPlaceFor) {
  EngineOptions options;
  options.model_path = folder();
  options.device = std::get<1>(GetParam());
  options.threads = 1;
  options.max_waiting = 1;
  std::promise<void> submitted;
  Listener holding;
  Listener waiting;
  const auto engine = Engine::load(options);
  holding.on_piece = [open = submitted.get_future().share()] { open.wait(); };
  engine->submit(holding.attach(ask("Hi", {}, 2)));
  while (engine->counters().running == 0) std::this_thread::yield();
  engine->submit(waiting.attach(ask("Hi", {}, 2)));
  EXPECT_THROW(engine->submit(ask("Hi", {}, 2)), Busy);
  submitted.set_value();
  EXPECT_EQ(waiting.result().outcome, Outcome::kLength);
}

INSTANTIATE_TEST_SUITE_P(All, EngineLiveTest,
                         testing::Combine(testing::Values(std::string("tiny")), every_device()),
                         engine_test_name);

// The demo model over a camera's frames, in bf16 as it is used.
class DemoCameras : public ::testing::Test {
 protected:
  static constexpr std::size_t kCameras = 8;

  static std::unique_ptr<Engine> load() {
    EngineOptions options;
    options.model_path = std::filesystem::path(FVLM_SOURCE) / "tools/demo/model";
    options.device = Device::kCpu;
    return Engine::load(options);
  }
  static Image demo_picture(const std::string& name) {
    const auto file = std::filesystem::path(FVLM_SOURCE) / "tools/demo/images" / name;
    return read_whole(*open_image(read_image_file(file), name));
  }
  static std::vector<Image> pictures() {
    std::vector<Image> all;
    for (const char* name : {"0000.png", "0001.jpg", "0002.jpg", "0003.webp"})
      all.push_back(demo_picture(name));
    return all;
  }
  static Request frame(std::span<const Image> pictures, std::size_t camera, std::int64_t number,
                       bool draft) {
    Request request =
        ask("Describe the image.",
            {seen(live_frame(pictures, number + 50 * static_cast<std::int64_t>(camera)), 256)}, 64);
    request.live = LiveView{.id = camera, .draft = draft};
    return request;
  }
};

TEST_F(DemoCameras, DraftsOverTwoHundredFramesOfAMovingScene) {
  const auto scene = pictures();
  const auto plain = load();
  const auto fast = load();
  std::int64_t accepted = 0;
  std::int64_t tokens = 0;
  std::set<std::string> captions;
  for (std::int64_t i = 0; i < 200; ++i) {
    const Result one = plain->run(frame(scene, 0, i, false));
    const Result other = fast->run(frame(scene, 0, i, true));
    ASSERT_EQ(one.tokens, other.tokens) << "frame " << i;
    accepted += other.statistics.accepted_tokens;
    tokens += other.statistics.new_tokens;
    captions.insert(other.text);
  }
  EXPECT_GE(captions.size(), 4U) << "the scene changes";
  EXPECT_GT(2 * accepted, tokens) << "and yet most words are foreseen";
  EXPECT_LT(fast->counters().decode_batches.count(), plain->counters().decode_batches.count() / 2);
}

TEST_F(DemoCameras, EightAtOnceSeeWhatEachSeesAlone) {
  const auto scene = pictures();
  constexpr std::int64_t kFrames = 6;
  const auto alone = load();
  const auto together = load();
  std::vector<std::future<std::vector<std::string>>> cameras;
  for (std::size_t c = 0; c < kCameras; ++c) {
    cameras.push_back(std::async(std::launch::async, [&, c] {
      std::vector<std::string> captions;
      for (std::int64_t i = 0; i < kFrames; ++i)
        captions.push_back(together->run(frame(scene, c, 8 * i, true)).text);
      return captions;
    }));
  }
  for (std::size_t c = 0; c < kCameras; ++c) {
    const std::vector<std::string> captions = cameras[c].get();
    for (std::int64_t i = 0; i < kFrames; ++i) {
      EXPECT_EQ(captions[static_cast<std::size_t>(i)],
                alone->run(frame(scene, c, 8 * i, false)).text)
          << "camera " << c << ", frame " << i;
    }
  }
  const EngineCounters counters = together->counters();
  EXPECT_GT(counters.encoder_batches.sum(), counters.encoder_batches.count());
}

}  // namespace
}  // namespace fvlm
