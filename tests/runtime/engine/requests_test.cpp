// Concurrent requests, streams and cancellation: requests must neither see nor harm one another.
// Where a test needs the engine in a certain state, it acts from a callback, which holds the
// engine's thread meanwhile; nothing here depends on how fast anything is.
#include <future>
#include <thread>
#include <utility>

#include "runtime/tokenizer/utf8_stream.hpp"
#include "tests/runtime/engine/fixture.hpp"

namespace fvlm {
namespace {

class EngineRequestsTest : public EngineTest {};

// Whether a text is valid UTF-8 and nothing of a character is missing.
bool is_whole(const std::string& text) {
  Utf8Stream stream;
  return stream.push(text) == text && stream.finish().empty();
}

std::string joined(const std::vector<std::string>& pieces) {
  std::string text;
  for (const std::string& piece : pieces) text += piece;
  return text;
}

// A request of its own kind for each number: images or none, short or long, greedy, drawn, beams.
Request varied(int i) {
  std::vector<PreparedImage> images;
  for (int k = i % 4; k < 2; ++k) images.push_back(picture(20 + 3 * i, 30 + i, i % 5 + k));
  Request request = ask(digits(5 + 7 * i, i) + " what is it?", std::move(images), 6 + i);
  if (i % 4 == 1) request.sampling.temperature = 0.9;
  if (i % 4 == 2) request.sampling.num_beams = 3;
  if (i % 4 == 3) request.sampling.repetition_penalty = 1.2;
  request.sampling.seed = 100 + static_cast<std::uint64_t>(i);
  if (request.sampling.num_beams == 1) request.sampling.logprobs = 3;
  return request;
}

TEST_P(EngineRequestsTest, ManyAtOnceAnswerAsOneAfterTheOther) {
  constexpr int kRequests = 16;
  constexpr int kThreads = 4;
  std::vector<Result> alone;
  {
    const auto engine = load();
    for (int i = 0; i < kRequests; ++i) alone.push_back(engine->run(varied(i)));
  }
  std::vector<Listener> listeners(kRequests);
  const auto engine = load();
  {
    std::vector<std::jthread> clients;
    for (int t = 0; t < kThreads; ++t) {
      clients.emplace_back([&, t] {
        for (int i = t; i < kRequests; i += kThreads) {
          engine->submit(listeners[static_cast<std::size_t>(i)].attach(varied(i)));
        }
      });
    }
  }
  for (std::size_t i = 0; i < kRequests; ++i) {
    const Result result = listeners[i].result();
    EXPECT_EQ(result.outcome, alone[i].outcome) << result.error;
    EXPECT_EQ(result.tokens, alone[i].tokens) << "request " << i;
    EXPECT_EQ(bits_of(result), bits_of(alone[i])) << "request " << i;
    EXPECT_EQ(result.text, alone[i].text);
    EXPECT_EQ(joined(listeners[i].pieces()), result.text);
    EXPECT_EQ(result.statistics.prompt_tokens, alone[i].statistics.prompt_tokens);
  }
}

TEST_P(EngineRequestsTest, StreamsWholeCharactersAndThenTheEnd) {
  const auto engine = load();
  for (const std::int64_t beams : {1, 2}) {
    for (std::uint64_t seed = 0; seed < 4; ++seed) {  // drawn tokens hold parts of characters
      Listener listener;
      Request request = ask("Hi", {}, 60);
      request.sampling.temperature = 2;
      request.sampling.top_k = 0;
      request.sampling.num_beams = beams;
      request.sampling.seed = seed;
      engine->submit(listener.attach(request));
      const Result result = listener.result();
      EXPECT_GT(listener.pieces().size(), 5U);
      for (const std::string& piece : listener.pieces()) {
        EXPECT_FALSE(piece.empty());
        EXPECT_TRUE(is_whole(piece));
      }
      EXPECT_EQ(joined(listener.pieces()), result.text);
      EXPECT_EQ(engine->run(ask("Hi", {}, 1)).outcome, Outcome::kLength);  // time for anything late
      EXPECT_EQ(listener.ends(), 1);
      EXPECT_EQ(listener.late_pieces(), 0);
    }
  }
}

TEST_P(EngineRequestsTest, MeasuresWhatItDid) {
  const auto engine = load();
  const Statistics s = engine->run(ask("What is this?", {picture(300, 200, 1)})).statistics;
  EXPECT_GT(s.preprocess_s, 0);
  EXPECT_GT(s.encode_s, 0);
  EXPECT_GT(s.prefill_s, 0);
  EXPECT_GE(s.ttft_s, s.encode_s);
  EXPECT_GT(s.decode_s, 0);
  EXPECT_NEAR(s.total_s, s.ttft_s + s.decode_s, 1e-6);
  EXPECT_NEAR(s.tokens_per_second(), 11 / s.decode_s, 1e-6 / s.decode_s);
}

TEST_P(EngineRequestsTest, ACallbackMaySubmitAndCancel) {
  Listener first;
  Listener second;
  const auto engine = load();
  RequestId id = 0;
  first.on_end = [&] { id = engine->submit(second.attach(ask("And now?", {}, 3))); };
  engine->submit(first.attach(ask("Hi", {}, 3)));
  EXPECT_EQ(first.result().outcome, Outcome::kLength);
  EXPECT_EQ(second.result().outcome, Outcome::kLength);
  EXPECT_NE(id, 0U);
}

TEST_P(EngineRequestsTest, CancellingWhatEndedOrNeverWasDoesNothing) {
  const auto engine = load();
  Listener listener;
  const RequestId id = engine->submit(listener.attach(ask("Hi", {}, 3)));
  const Result result = listener.result();
  EXPECT_EQ(result.outcome, Outcome::kLength);
  engine->cancel(id);
  engine->cancel(id + 1);
  engine->cancel(0);
  EXPECT_EQ(engine->run(ask("Hi", {}, 3)).tokens, result.tokens);
  EXPECT_EQ(listener.ends(), 1);
}

// A request that answers piece by piece, in whose callbacks the tests act.
Request companion() {
  return ask("Tell me.", {}, 40);
}

TEST_P(EngineRequestsTest, CancelledWhileDecodingKeepsWhatItSaid) {
  const Result whole = fresh(companion());
  const Result other_whole = fresh(varied(1));
  Listener listener;
  Listener other;
  const auto engine = load();
  std::promise<RequestId> id;
  listener.on_piece = [&, known = id.get_future().share()] {
    if (listener.pieces().size() == 3) engine->cancel(known.get());
  };
  id.set_value(engine->submit(listener.attach(companion())));
  engine->submit(other.attach(varied(1)));
  const Result result = listener.result();
  EXPECT_EQ(result.outcome, Outcome::kCancelled);
  EXPECT_LT(result.tokens.size(), whole.tokens.size());
  EXPECT_GE(result.tokens.size(), 3U);
  EXPECT_TRUE(std::equal(result.tokens.begin(), result.tokens.end(), whole.tokens.begin()));
  EXPECT_EQ(joined(listener.pieces()), result.text);
  EXPECT_EQ(other.result().tokens, other_whole.tokens);
  EXPECT_EQ(engine->run(companion()).tokens,
            whole.tokens);  // on what the cancelled one left cached
  EXPECT_EQ(listener.ends(), 1);
}

TEST_P(EngineRequestsTest, CancelledBeforeItsTurnNeedNotWaitForIt) {
  const Request look = ask("Hi", {picture(9, 9, 1)});  // takes its time
  // The first request holds the engine until a long one and the cancelled one stand behind it.
  std::vector<std::string> order;  // written by the engine's thread
  Listener holding;
  Listener before;
  Listener cancelled;
  const auto engine = load();
  std::promise<void> held;
  std::promise<void> queued;
  holding.on_piece = [&, first = true, open = queued.get_future().share()]() mutable {
    if (std::exchange(first, false)) held.set_value();
    open.wait();
  };
  before.on_piece = [&] { order.emplace_back("text of the one before"); };
  cancelled.on_end = [&] { order.emplace_back("end of the cancelled"); };
  engine->submit(holding.attach(companion()));
  held.get_future().wait();
  engine->submit(before.attach(ask(digits(600), {}, 3)));
  engine->cancel(engine->submit(cancelled.attach(look)));
  queued.set_value();
  EXPECT_EQ(holding.result().tokens, fresh(companion()).tokens);
  EXPECT_EQ(before.result().outcome, Outcome::kLength);
  const Result result = cancelled.result();
  EXPECT_EQ(result.outcome, Outcome::kCancelled);
  EXPECT_EQ(result.text, "");
  EXPECT_EQ(result.statistics.encode_s, 0);
  EXPECT_EQ(order.at(0), "end of the cancelled");
}

TEST_P(EngineRequestsTest, CancelledWithoutRoomNeedNotWaitForIt) {
  // In so small a cache the companion runs alone.
  Listener running;
  Listener cancelled;
  const auto engine = load(64);
  std::promise<RequestId> id;
  bool was_running = false;
  running.on_piece = [&, known = id.get_future().share()] { engine->cancel(known.get()); };
  cancelled.on_end = [&] { was_running = running.ends() == 0; };
  engine->submit(running.attach(ask("Hi", {}, 30)));
  id.set_value(engine->submit(cancelled.attach(ask("Hello", {}, 30))));
  EXPECT_EQ(cancelled.result().outcome, Outcome::kCancelled);
  EXPECT_EQ(running.result().outcome, Outcome::kLength);
  EXPECT_TRUE(was_running);
}

TEST_P(EngineRequestsTest, CancelledDuringPrefillNeverSpeaks) {
  // Pieces of the long prompt alternate with tokens of the companion, which cancels it in between.
  Listener companion_listener;
  Listener cancelled;
  const auto engine = load();
  std::promise<RequestId> id;
  std::size_t pieces = 0;
  companion_listener.on_piece = [&, known = id.get_future().share()] {
    known.wait();
    if (++pieces == 4) engine->cancel(known.get());
  };
  engine->submit(companion_listener.attach(companion()));
  id.set_value(engine->submit(cancelled.attach(ask(digits(1500)))));
  const Result result = cancelled.result();
  EXPECT_EQ(result.outcome, Outcome::kCancelled);
  EXPECT_GT(result.statistics.prefill_s, 0);
  EXPECT_EQ(result.statistics.new_tokens, 0);
  EXPECT_TRUE(cancelled.pieces().empty());
  EXPECT_EQ(companion_listener.result().tokens, fresh(companion()).tokens);
}

TEST_P(EngineRequestsTest, CancellingBeamsAnswersWithTheBestSoFar) {
  Listener holding;
  Listener beams;
  std::promise<RequestId> id;
  std::size_t pieces = 0;
  const auto engine = load();
  holding.on_piece = [&, known = id.get_future().share()] {
    known.wait();
    if (++pieces == 6) engine->cancel(known.get());
  };
  Request request = ask("Hi", {}, 1000);
  request.sampling.num_beams = 3;
  engine->submit(holding.attach(companion()));
  id.set_value(engine->submit(beams.attach(request)));
  const Result result = beams.result();
  EXPECT_EQ(result.outcome, Outcome::kCancelled);
  EXPECT_GT(result.tokens.size(), 0U);
  EXPECT_LT(result.tokens.size(), 100U);
  EXPECT_EQ(joined(beams.pieces()), result.text);
}

TEST_P(EngineRequestsTest, ManyCancelledFromOtherThreadsHarmNoOther) {
  const std::vector<Result> alone = {fresh(varied(4)), fresh(varied(5))};
  std::vector<Listener> kept(2);
  std::vector<Listener> cancelled(12);
  const auto engine = load();
  {
    std::vector<std::jthread> clients;
    for (std::size_t i = 0; i < 12; ++i) {
      clients.emplace_back([&, i] {
        const RequestId id = engine->submit(cancelled[i].attach(
            ask(digits(30 * static_cast<std::int64_t>(i)), {picture(5, 5, 2)}, 1000)));
        std::this_thread::sleep_for(std::chrono::milliseconds(3 * i));  // any stage will do
        engine->cancel(id);
      });
    }
    for (std::size_t i = 0; i < 2; ++i)
      engine->submit(kept[i].attach(varied(static_cast<int>(i) + 4)));
  }
  for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(kept[i].result().tokens, alone[i].tokens);
  for (Listener& listener : cancelled) {
    EXPECT_EQ(listener.result().outcome, Outcome::kCancelled);
    EXPECT_EQ(listener.ends(), 1);
  }
}

TEST_P(EngineRequestsTest, ItsEndCancelsWhatRuns) {
  std::vector<Listener> listeners(8);
  auto engine = load(512);  // too small for all: some run, some wait
  std::promise<void> spoken;
  listeners[0].on_piece = [&] {
    if (listeners[0].pieces().size() == 1) spoken.set_value();
    std::this_thread::sleep_for(
        std::chrono::milliseconds(5));  // 400 tokens take longer than what follows
  };
  for (Listener& listener : listeners) {
    Request request = ask("Hi", {picture(10, 10, 3)}, 400);
    request.sampling.repetition_penalty = 1.1;
    engine->submit(listener.attach(request));
  }
  spoken.get_future().wait();
  engine.reset();
  for (Listener& listener : listeners) {
    ASSERT_EQ(listener.ends(), 1);
    EXPECT_EQ(listener.result().outcome, Outcome::kCancelled);
    EXPECT_EQ(listener.late_pieces(), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(All, EngineRequestsTest, kTinyEngines, engine_test_name);

}  // namespace
}  // namespace fvlm
