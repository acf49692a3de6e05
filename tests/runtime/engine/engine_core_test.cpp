// What the engine puts into which pass, and what becomes of requests that end on the way, over a
// runner without a model.
#include "runtime/engine/engine_core.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <future>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "runtime/checkpoint/checkpoint.hpp"
#include "tests/runtime/engine/fake_runner.hpp"
#include "tests/runtime/engine/fixture.hpp"

namespace fvlm {
namespace {

class EngineCoreTest : public testing::Test {
 protected:
  EngineCoreTest() : tokenizer_(Tokenizer::load(folder())) {
    for (char digit = '0'; digit <= '9'; ++digit)
      digits_.push_back(tokenizer_.encode(std::string(1, digit)).at(0));
  }

  static std::filesystem::path folder() {
    return std::filesystem::path(FVLM_TEST_DATA) / "golden" / "tiny" / "checkpoint";
  }

  // The engine, whose thread calls act(pass) before each pass.
  std::unique_ptr<Engine> engine(FakeRunner::Options options = {},
                                 std::function<void(const std::string& pass)> act = {}) {
    options.on_pass = [this, act = std::move(act)](const std::string& pass) {
      passes_.push_back(pass);
      if (act) act(pass);
    };
    const FastVlmConfig config = Checkpoint::open(folder()).config();
    EngineInfo info;
    info.model = "fake";
    info.image_tokens = config.vision.tokens();
    info.context_tokens = 2048;
    return std::make_unique<EngineCore>(std::make_unique<FakeRunner>(config, digits_, options),
                                        tokenizer_, info, 100);
  }

  // What the fake model says after a prompt: the digits of the positions that follow.
  static std::string digits_after(const Result& result) {
    std::string text;
    for (std::int64_t i = 0; i < result.statistics.new_tokens; ++i)
      text += static_cast<char>('0' + (result.statistics.prompt_tokens + i) % 10);
    return text;
  }

  std::int64_t count(const std::string& kind) const {
    return std::count_if(passes_.begin(), passes_.end(),
                         [&](const std::string& pass) { return pass.starts_with(kind); });
  }

  Tokenizer tokenizer_;
  std::vector<std::int32_t> digits_;
  std::vector<std::string> passes_;  // written by the engine's thread
};

TEST_F(EngineCoreTest, AnswersWithLogitsAndWithTokensThatWereChosen) {
  for (const bool samples : {false, true}) {
    passes_.clear();
    const Result result = engine({.samples = samples})->run(ask("Hi", {}, 5));
    EXPECT_EQ(result.outcome, Outcome::kLength);
    EXPECT_EQ(result.text, digits_after(result));
    const std::string rows = std::to_string(result.statistics.prompt_tokens);
    EXPECT_EQ(passes_, (std::vector<std::string>{"prefill " + rows, "decode 1", "decode 1",
                                                 "decode 1", "decode 1"}));
  }
}

// A pass that fails may not have kept what it was told to keep.
TEST_F(EngineCoreTest, AnImageOfAPassThatFailedIsEncodedAgain) {
  bool fails = true;
  auto running = engine({.limits = {.kept_images = 4}}, [&](const std::string& pass) {
    if (pass.starts_with("prefill") && std::exchange(fails, false)) {
      throw std::runtime_error("no luck");
    }
  });
  const PreparedImage image = picture(90, 60, 1);
  for (const char* text : {"1*", "2*", "3*"}) {
    running->run(ask_placed(text, {image}, 1));
  }
  running.reset();
  EXPECT_EQ(count("encode"), 2);
}

TEST_F(EngineCoreTest, AnswersGoOnBetweenTheChunksOfALongPrompt) {
  Listener speaking;
  Listener reading;
  std::unique_ptr<Engine> running;
  std::promise<void> submitted;
  running = engine({.limits = {.prefill_rows = 64}}, [&](const std::string& /*pass*/) {
    if (passes_.size() == 1) submitted.get_future().wait();
  });
  running->submit(speaking.attach(ask("Hi", {}, 12)));
  running->submit(reading.attach(ask(digits(300), {}, 2)));
  submitted.set_value();
  EXPECT_EQ(reading.result().outcome, Outcome::kLength);
  EXPECT_EQ(speaking.result().text, digits_after(speaking.result()));
  running.reset();
  for (std::size_t i = 1; i < passes_.size(); ++i) {
    EXPECT_FALSE(passes_[i].starts_with("prefill") && passes_[i - 1].starts_with("prefill"))
        << "two chunks without a decode pass between them, at " << i;
  }
  EXPECT_GE(count("prefill"), 5);
}

TEST_F(EngineCoreTest, ARequestCancelledWhileItsImageIsEncodedIsNotPrefilled) {
  Listener speaking;
  Listener looking;
  std::unique_ptr<Engine> running;
  RequestId id = 0;
  bool encoded = false;
  FakeRunner::Options options;
  options.encoded = [&] { return encoded; };
  std::promise<void> ready;
  running = engine(options, [&, known = ready.get_future().share()](const std::string& pass) {
    known.wait();
    if (pass == "decode 1" && count("decode") == 2)
      id = running->submit(looking.attach(ask("look", {picture(9, 9, 1)}, 3)));
    if (pass == "decode 1" && count("encode") == 1) {
      running->cancel(id);
      encoded = true;  // the prefill pass could run in the next step
    }
  });
  running->submit(speaking.attach(ask("Hi", {}, 12)));
  ready.set_value();
  EXPECT_EQ(looking.result().outcome, Outcome::kCancelled);
  EXPECT_EQ(speaking.result().outcome, Outcome::kLength);
  running.reset();
  EXPECT_EQ(count("encode"), 1);
  EXPECT_EQ(count("prefill"), 1) << "only of the one that speaks";
  EXPECT_EQ(looking.ends(), 1);
}

TEST_F(EngineCoreTest, APassThatFailsEndsItsRequestsAndNoOther) {
  for (const std::string failing : {"encode 1", "prefill", "decode 1 1"}) {
    SCOPED_TRACE(failing);
    passes_.clear();
    Listener first;
    Listener second;
    std::unique_ptr<Engine> running;
    bool failed = false;
    std::promise<void> ready;
    running = engine({}, [&, known = ready.get_future().share()](const std::string& pass) {
      known.wait();
      if (pass == "decode 1" && count("decode") == 2)
        running->submit(second.attach(ask("look", {picture(9, 9, 1)}, 3)));
      const bool fails = count("decode") >= 2 && pass.starts_with(failing);
      if (fails && !std::exchange(failed, true)) throw std::runtime_error("no " + pass);
    });
    running->submit(first.attach(ask("Hi", {}, 12)));
    ready.set_value();
    const Result result = second.result();
    EXPECT_EQ(result.outcome, Outcome::kFailed);
    EXPECT_TRUE(result.error.starts_with("no " + failing)) << result.error;
    const bool shared = failing == "decode 1 1";
    EXPECT_EQ(first.result().outcome, shared ? Outcome::kFailed : Outcome::kLength);
    EXPECT_EQ(running->run(ask("Hi", {}, 2)).outcome, Outcome::kLength) << "the engine goes on";
  }
}

TEST_F(EngineCoreTest, TheNextPromptGoesOnFromWhatIsCached) {
  const auto running = engine();
  const Result first = running->run(ask("Hi", {}, 3));
  const Result again = running->run(ask("Hi", {}, 3));
  EXPECT_EQ(again.text, first.text);
  EXPECT_EQ(again.statistics.cached_tokens, first.statistics.prompt_tokens - 1);
  EXPECT_EQ(passes_.at(3), "prefill 1");
}

// Several answers to one prompt: it is prefilled once, its pictures are encoded once.
TEST_F(EngineCoreTest, APromptThatIsBeingReadIsWaitedFor) {
  std::vector<Listener> same(3);
  Listener other;
  std::promise<void> submitted;
  auto running = engine(
      {}, [known = submitted.get_future().share()](const std::string& /*pass*/) { known.wait(); });
  for (Listener& listener : same) {
    running->submit(listener.attach(ask("look", {picture(9, 9, 1)}, 4)));
  }
  running->submit(other.attach(ask("look", {picture(9, 9, 2)}, 4)));
  submitted.set_value();
  const Result first = same[0].result();
  const std::int64_t prompt = first.statistics.prompt_tokens;
  for (std::size_t i = 1; i < same.size(); ++i) {
    EXPECT_EQ(same[i].result().text, first.text);
    EXPECT_EQ(same[i].result().statistics.cached_tokens, prompt - 1);
  }
  EXPECT_EQ(other.result().text, first.text) << "positions are what this model answers with";
  EXPECT_LT(other.result().statistics.cached_tokens, prompt / 2);
  running.reset();
  EXPECT_EQ(count("encode"), 2);
  std::int64_t rows = 0;
  for (const std::string& pass : passes_) {
    std::istringstream words(pass);
    std::string kind;
    words >> kind;
    for (std::int64_t more = 0; kind == "prefill" && words >> more;) rows += more;
  }
  EXPECT_EQ(rows, prompt + 1 + 1 + prompt - other.result().statistics.cached_tokens);
}

// If the one that is waited for ends before its prompt is through, another takes its place.
TEST_F(EngineCoreTest, APromptThatIsWaitedForMayFail) {
  Listener first;
  Listener second;
  std::promise<void> submitted;
  bool failed = false;
  auto running = engine({}, [&, known = submitted.get_future().share()](const std::string& pass) {
    known.wait();
    if (pass.starts_with("prefill") && !std::exchange(failed, true)) throw std::runtime_error("no");
  });
  running->submit(first.attach(ask("Hi", {}, 4)));
  running->submit(second.attach(ask("Hi", {}, 4)));
  submitted.set_value();
  EXPECT_EQ(first.result().outcome, Outcome::kFailed);
  EXPECT_EQ(second.result().text, digits_after(second.result()));
}

TEST_F(EngineCoreTest, AnUnchangedViewIsAnsweredWithoutAPass) {
  const auto running = engine();
  for (const std::int64_t beams : {1, 2}) {
    Request look = ask("look", {picture(9, 9, 1)}, 4);
    look.sampling.num_beams = beams;
    look.live = LiveView{.id = static_cast<std::uint64_t>(beams), .unchanged_below = 1};
    const Result first = running->run(look);
    passes_.clear();
    Listener again;
    running->submit(again.attach(look));
    EXPECT_EQ(again.result().text, first.text);
    EXPECT_TRUE(again.result().unchanged);
    EXPECT_EQ(again.pieces(), std::vector<std::string>{first.text});
    EXPECT_TRUE(passes_.empty());
  }
}

}  // namespace
}  // namespace fvlm
