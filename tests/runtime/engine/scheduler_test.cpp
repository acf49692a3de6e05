// What a batch holds and which request runs when, without a model; and how much two images differ.
#include "runtime/engine/scheduler.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <list>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "runtime/config/model_sizes.hpp"
#include "runtime/engine/batching.hpp"
#include "runtime/engine/prompt.hpp"
#include "runtime/image/fit.hpp"
#include "runtime/image/thumbnail.hpp"

namespace fvlm {
namespace {

using Ids = std::vector<std::int32_t>;

constexpr std::int64_t kImageRows = 16;

// The hash of image i of a request.
Hash128 image_of(RequestId id, std::uint64_t i = 0) {
  return {id, i};
}

// A request with this prompt. kImageToken stands for an image.
GenerationPtr generation(RequestId id, Ids ids, Generation::Budget budget = {.new_tokens = 20},
                         std::optional<LiveView> live = {}) {
  Request request;
  request.live = live;
  PromptLayout prompt{.ids = std::move(ids)};
  prompt.spans = prompt_spans(prompt.ids, kImageRows);
  const auto images = std::ranges::count(prompt.ids, kImageToken);
  for (std::int64_t i = 0; i < images; ++i) {
    prompt.images.push_back({.hash = image_of(id, static_cast<std::uint64_t>(i))});
  }
  return std::make_unique<Generation>(id, std::move(request), std::move(prompt), budget, 0);
}

Ids text(std::int64_t tokens) {
  return Ids(static_cast<std::size_t>(tokens), 5);
}
// An image between some words: 4 + 16 + 6 rows.
Ids question() {
  return {1, 2, 3, 4, kImageToken, 5, 6, 7, 8, 9, 10};
}

class Batching : public ::testing::Test {
 protected:
  Generation& add_queued(Ids ids, std::int64_t new_tokens = 20) {
    running_.push_back(generation(running_.size() + 1, std::move(ids), {.new_tokens = new_tokens}));
    return *running_.back();
  }
  Generation& add(Ids ids, std::int64_t new_tokens = 20) {
    Generation& g = add_queued(std::move(ids), new_tokens);
    g.prepare(Sequence(pool_));
    return g;
  }
  // One that has read its prompt and said one token.
  Generation& add_speaking(std::int64_t hypotheses = 1, bool draft = false,
                           std::int64_t new_tokens = 20) {
    Generation& g = add(text(3), new_tokens);
    if (draft) g.answer().set_draft(Draft({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}));
    g.prefill(3);
    g.advance(std::vector<std::int32_t>{1}, {});
    for (std::int64_t i = 1; i < hypotheses; ++i)
      g.answer().hypotheses().push_back({Sequence(pool_), {1}, 0});
    return g;
  }
  // Plans passes over prompts until all are read; rows of each request by pass.
  std::vector<std::map<RequestId, std::int64_t>> read_all(const PassLimits& limits) {
    std::vector<std::map<RequestId, std::int64_t>> passes;
    while (true) {
      const auto chunks = plan_prefill(running_, limits, kept_);
      if (chunks.empty()) return passes;
      auto& pass = passes.emplace_back();
      std::int64_t rows = 0;
      std::int64_t images = 0;
      for (const PrefillChunk& chunk : chunks) {
        std::int64_t position = chunk.generation->prefilled();
        for (const PromptSpan& span : chunk.spans) {
          EXPECT_EQ(span.position, position);
          position = span.end();
          if (span.image >= 0) {
            EXPECT_EQ(span.rows, kImageRows);
            if (!kept_.contains(image_of(chunk.generation->id()))) ++images;
          }
        }
        pass[chunk.generation->id()] = chunk.rows();
        rows += chunk.rows();
        chunk.generation->prefill(chunk.rows());
      }
      EXPECT_LE(rows, limits.prefill_rows);
      EXPECT_LE(images, limits.images);
    }
  }

  PagePool pool_{100};
  ImageCache kept_{8};
  std::list<GenerationPtr> running_;
};

TEST_F(Batching, PromptsAreReadTogetherAsFarAsTheyFit) {
  for (int i = 0; i < 3; ++i) add(question());
  const auto passes = read_all({.images = 8, .prefill_rows = 60});
  ASSERT_EQ(passes.size(), 2U);
  EXPECT_EQ(passes[0].at(1), 26);
  EXPECT_EQ(passes[0].at(2), 26);
  EXPECT_EQ(passes[0].at(3), 4) << "the image does not fit, the words before it do";
  EXPECT_EQ(passes[1].at(3), 22);
}

TEST_F(Batching, ImagesAreEncodedAsManyAtATimeAsAllowed) {
  for (int i = 0; i < 3; ++i) add(question());
  const auto passes = read_all({.images = 1, .prefill_rows = 200});
  EXPECT_EQ(passes.size(), 3U);
  EXPECT_EQ(passes[1].at(2), 22);
}

TEST_F(Batching, ImagesThatAreKeptTakeNoPlaceInTheEncoder) {
  for (int i = 0; i < 4; ++i) add(question());
  for (const RequestId id : {1, 3, 4}) kept_.add(image_of(id));
  const auto passes = read_all({.images = 1, .prefill_rows = 200});
  ASSERT_EQ(passes.size(), 1U);
  for (const RequestId id : {1, 2, 3, 4}) EXPECT_EQ(passes[0].at(id), 26) << id;
}

TEST_F(Batching, AnImageOfSeveralPromptsIsEncodedOnce) {
  add(question());
  add(question());
  running_.push_back(generation(1, question()));  // the first one's image
  running_.back()->prepare(Sequence(pool_));
  const auto chunks = plan_prefill(running_, {.images = 2, .prefill_rows = 200}, kept_);
  ASSERT_EQ(chunks.size(), 3U);
  for (const PrefillChunk& chunk : chunks) EXPECT_EQ(chunk.rows(), 26);
}

// Backends record passes and choose kernels by the number of images.
TEST_F(Batching, ManyImagesAreEncodedInFewSizes) {
  for (int i = 0; i < 27; ++i) add(question());
  const auto passes = read_all({.images = 32, .prefill_rows = 10000});
  ASSERT_EQ(passes.size(), 3U);
  EXPECT_EQ(passes[0].at(1), passes[0].at(16));
  EXPECT_EQ(passes[1].at(17), 22) << "after the words before the image";
  const auto answered = [&](std::size_t pass) {
    return std::count_if(passes[pass].begin(), passes[pass].end(),
                         [](const auto& request) { return request.second >= 22; });
  };
  EXPECT_EQ(answered(0), 16);
  EXPECT_EQ(answered(1), 8);
  EXPECT_EQ(answered(2), 3);
}

TEST(ImagesOfPass, UpToEightAllThenPowersOfTwo) {
  EXPECT_EQ(images_of_pass(0), 0);
  EXPECT_EQ(images_of_pass(7), 7);
  EXPECT_EQ(images_of_pass(8), 8);
  EXPECT_EQ(images_of_pass(15), 8);
  EXPECT_EQ(images_of_pass(16), 16);
  EXPECT_EQ(images_of_pass(33), 32);
}

TEST(PassLimitsOfModels, AsManyImagesAsTheBudgetAllows) {
  const auto limits_of = [](std::string_view size, const PassBudget& budget) {
    const auto& all = sizes();
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const ModelSize& one) { return one.name == size; });
    return pass_limits(config_of(*found), budget);
  };
  constexpr std::size_t kMuch = std::size_t{1} << 40;
  const PassLimits many = limits_of("0.5b", {.images = 32, .encoder_bytes = kMuch});
  EXPECT_EQ(many.images, 32);
  EXPECT_GE(many.prefill_rows, 32 * 256);
  EXPECT_EQ(limits_of("0.5b", {.images = 8, .encoder_bytes = kMuch}).images, 8);
  EXPECT_EQ(limits_of("0.5b", {.images = 32, .encoder_bytes = 1}).images, 1);
  // 132 SMs: a prefill pass of 33 TFLOP.
  const PassBudget large{.images = 32, .encoder_bytes = kMuch, .prefill_flops = 33e12};
  EXPECT_EQ(limits_of("0.5b", large).images, 32);
  EXPECT_EQ(limits_of("7b", large).images, 8);
  EXPECT_EQ(limits_of("7b", {.images = 32, .encoder_bytes = kMuch, .prefill_flops = 1}).images, 1);
}

TEST_F(Batching, ALongPromptDoesNotHoldUpTheOthers) {
  add(text(1000));
  add(text(50));
  add(text(60));
  const auto passes = read_all({.images = 1, .prefill_rows = 100});
  EXPECT_EQ(passes[0].at(1), 100);
  EXPECT_EQ(passes[1].at(2), 50);
  EXPECT_EQ(passes[1].at(3), 50);
  EXPECT_EQ(passes[2].at(1), 100) << "its turn again";
  EXPECT_EQ(passes[3].at(3), 10);
  EXPECT_EQ(passes.size(), 12U);
}

TEST_F(Batching, AsManyPromptsAtMostAsAnswers) {
  for (int i = 0; i < 5; ++i) add(text(1));
  EXPECT_EQ(plan_prefill(running_, {.decode_rows = 3}, kept_).size(), 3U);
}

TEST_F(Batching, DraftsShareTheRowsThatAreTheirs) {
  add_speaking(1, true);
  add_speaking(2);
  add_speaking(1, true);
  const auto groups = plan_decode(running_, {.decode_rows = 64, .draft_rows = 10});
  ASSERT_EQ(groups.size(), 1U);
  ASSERT_EQ(groups[0].size(), 3U);
  EXPECT_EQ(groups[0][0]->answer().proposed(), (Ids{2, 3, 4}));
  EXPECT_TRUE(groups[0][1]->answer().proposed().empty());
  EXPECT_EQ(groups[0][1]->answer().decode_rows(), 2);
  EXPECT_EQ(groups[0][2]->answer().proposed().size(), 3U);
}

TEST_F(Batching, BeyondThoseRowsPassesAreAsLargeAsAllowed) {
  for (int i = 0; i < 7; ++i) add_speaking(1, true);
  const auto groups = plan_decode(running_, {.decode_rows = 5, .draft_rows = 4});
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0].size(), 5U);
  EXPECT_TRUE(groups[0][0]->answer().proposed().empty());
  EXPECT_EQ(groups[1].size(), 2U);
  EXPECT_EQ(groups[1][0]->answer().proposed().size(), 1U);
}

TEST_F(Batching, ADraftEndsWhereTheAnswerMust) {
  Generation& g = add_speaking(1, true, 4);  // one said, one from the row after the draft
  plan_decode(running_, {});
  EXPECT_EQ(g.answer().proposed().size(), 2U);
}

TEST_F(Batching, ThoseThatAreDoneOrNotPreparedAreLeftOut) {
  add_speaking().end(Outcome::kStop);
  add(text(5)).end(Outcome::kCancelled);
  add_queued(text(5));
  EXPECT_TRUE(plan_prefill(running_, {}, kept_).empty());
  EXPECT_TRUE(plan_decode(running_, {}).empty());
}

// Scheduler --------------------------------------------------------------------------------------

GenerationPtr needing(RequestId id, std::int64_t pages, std::optional<LiveView> live = {}) {
  return generation(id, text(3), {.new_tokens = 20, .pages = pages}, live);
}

std::vector<RequestId> ids_of(Scheduler& scheduler) {
  std::vector<RequestId> ids;
  for (const auto& g : scheduler.running()) ids.push_back(g->id());
  return ids;
}

// Ends a running request.
void finish(Scheduler& scheduler, RequestId id) {
  for (const auto& g : scheduler.running()) {
    if (g->id() == id) g->end(Outcome::kStop);
  }
  EXPECT_EQ(scheduler.take_done()->id(), id);
}

TEST(Scheduler, LetsInWhatHasRoomInTheOrderOfArrival) {
  const LiveViews views;
  Scheduler scheduler({.pages = 10});
  scheduler.submit(needing(1, 4));
  scheduler.submit(needing(2, 8));
  scheduler.submit(needing(3, 1));
  ASSERT_TRUE(scheduler.wait(views));
  EXPECT_EQ(ids_of(scheduler), (std::vector<RequestId>{1})) << "a small one may not overtake";
  EXPECT_EQ(scheduler.counters().waiting, 2);
  EXPECT_EQ(scheduler.counters().running, 1);
  finish(scheduler, 1);
  scheduler.wait(views);
  EXPECT_EQ(ids_of(scheduler), (std::vector<RequestId>{2, 3}));
}

TEST(Scheduler, RunsOneRequestOfAViewAtATime) {
  const LiveViews views;
  Scheduler scheduler({.pages = 10});
  scheduler.submit(needing(1, 1, LiveView{.id = 7}));
  scheduler.submit(needing(2, 1, LiveView{.id = 7}));
  scheduler.submit(needing(3, 1, LiveView{.id = 8}));
  scheduler.submit(needing(4, 1));
  scheduler.wait(views);
  EXPECT_EQ(ids_of(scheduler), (std::vector<RequestId>{1, 3, 4}));
  finish(scheduler, 1);
  scheduler.wait(views);
  EXPECT_EQ(ids_of(scheduler), (std::vector<RequestId>{3, 4, 2}));
}

TEST(Scheduler, RefusesWhenTooManyWait) {
  Scheduler scheduler({.waiting = 2, .pages = 10});
  scheduler.submit(needing(1, 1));
  scheduler.submit(needing(2, 1));
  EXPECT_THROW(scheduler.submit(needing(3, 1)), Busy);
  scheduler.wait({});
  scheduler.submit(needing(4, 1));
}

TEST(Scheduler, TheCancelledComeInToBeAnswered) {
  Scheduler scheduler({.pages = 10});
  scheduler.submit(needing(1, 9));
  scheduler.submit(needing(2, 9));
  scheduler.cancel(2);
  scheduler.wait({});
  scheduler.end_cancelled();
  EXPECT_EQ(scheduler.take_done()->id(), 2U);
  EXPECT_EQ(scheduler.take_done(), nullptr);
  scheduler.close();
  scheduler.wait({});
  scheduler.end_cancelled();
  EXPECT_EQ(scheduler.take_done()->id(), 1U);
  EXPECT_FALSE(scheduler.wait({}));
}

TEST(Scheduler, TellsHowLongATurnOfTheEngineTakes) {
  Scheduler scheduler({.pages = 10});
  scheduler.submit(needing(1, 1));
  EXPECT_EQ(scheduler.counters().step_s, 0);
  scheduler.wait({});
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  EXPECT_GE(scheduler.counters().step_s, 0.002);
  finish(scheduler, 1);
  scheduler.close();
  EXPECT_FALSE(scheduler.wait({}));
  EXPECT_EQ(scheduler.counters().step_s, 0);
}

TEST(Scheduler, GathersRequestsOfSeveralViews) {
  LiveViews views;
  views.begin(1);
  views.begin(2);
  Scheduler scheduler({.pages = 10, .images = 2});
  scheduler.submit(needing(1, 1));
  std::jthread other([&] { scheduler.submit(needing(2, 1)); });
  ASSERT_TRUE(scheduler.wait(views));  // until both are there, or 3 ms
  if (scheduler.running().size() == 1) GTEST_SKIP() << "the other thread was late";
  EXPECT_EQ(ids_of(scheduler), (std::vector<RequestId>{1, 2}));
}

TEST(LiveViews, RememberTheLastAnswerToAPromptUntilTheirEnd) {
  LiveViews views;
  views.begin(1);
  views.remember(1, {.prompt = {1, 2}, .tokens = {3}, .text = "three"});
  views.remember(2, {.prompt = {1, 2}, .tokens = {4}, .text = "four"});  // it never began
  ASSERT_TRUE(views.last(1, {1, 2}));
  EXPECT_EQ(views.last(1, {1, 2})->text, "three");
  EXPECT_FALSE(views.last(1, {1, 3}));
  EXPECT_FALSE(views.last(2, {1, 2}));
  views.begin(1);
  EXPECT_TRUE(views.last(1, {1, 2}));
  views.end(1);
  EXPECT_FALSE(views.last(1, {1, 2}));
  EXPECT_EQ(views.count(), 0);
}

// Thumbnails -------------------------------------------------------------------------------------

Image plain(std::int64_t width, std::int64_t height, std::uint8_t value) {
  return {width, height,
          std::vector<std::uint8_t>(static_cast<std::size_t>(width * height * 3), value)};
}

Thumbnail make_thumbnail(const Image& image) {
  const auto side = std::max(image.width, image.height);
  std::vector<std::uint8_t> square(static_cast<std::size_t>(side * side * 3));
  const ShownPart shown = fit_image(*open_pixels(image), {}, side, square);
  return make_thumbnail(square.data(), side, shown);
}

TEST(Thumbnail, DiffersByHowMuchBrighterAPictureIs) {
  for (const auto& [width, height] : {std::pair(1, 1), {7, 500}, {640, 480}, {33, 31}}) {
    const Thumbnail dark = make_thumbnail(plain(width, height, 100));
    const Thumbnail bright = make_thumbnail(plain(width, height, 110));
    EXPECT_EQ(dark.difference(dark), 0);
    EXPECT_NEAR(dark.difference(bright), 10, 1e-3);
    EXPECT_NEAR(bright.difference(dark), 10, 1e-3);
  }
}

TEST(Thumbnail, NoiseHardlyCountsAndAnObjectDoes) {
  Image picture = plain(640, 480, 100);
  const Thumbnail before = make_thumbnail(picture);
  std::uint32_t state = 1;
  for (auto& value : picture.rgb) {
    state = state * 1664525 + 1013904223;
    value = static_cast<std::uint8_t>(value + (state >> 24) % 21 - 10);
  }
  EXPECT_LT(before.difference(make_thumbnail(picture)), 1);
  for (std::int64_t y = 100; y < 220; ++y) {
    for (std::int64_t x = 3 * 200; x < 3 * 360; ++x)
      picture.rgb[static_cast<std::size_t>(y * 3 * 640 + x)] = 255;
  }
  EXPECT_GT(before.difference(make_thumbnail(picture)), 5);
}

}  // namespace
}  // namespace fvlm
