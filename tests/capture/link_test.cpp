// The conversation with the server, with a clock and a socket that the tests move.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "capture/link/link.hpp"

namespace fvlm::capture {
namespace {

using Milliseconds = std::chrono::milliseconds;

constexpr char kDescription[] =
    R"({"type":"description","content":"A tree.","frame_id":1,"ttft_ms":5})";
constexpr char kToken[] = R"({"type":"token","content":"A"})";

class LinkTest : public testing::Test {
 protected:
  class Socket final : public LinkSocket {
   public:
    explicit Socket(LinkTest& test) : test_(test) { ++test_.open_sockets; }
    ~Socket() override { --test_.open_sockets; }
    void send(const std::string& text) override { test_.texts.push_back(text); }
    std::uint64_t send(const Picture& picture) override {
      test_.sent.push_back(picture.number);
      return picture.size();
    }

   private:
    LinkTest& test_;
  };

  void start(const LinkOptions& options = {}) {
    link = std::make_unique<Link>(
        options,
        [this](LinkSocket::Events events) {
          server = std::move(events);
          ++tries;
          return std::make_unique<Socket>(*this);
        },
        [this] { return now; }, counters,
        Link::Events{[this](Link::State state, const Trouble&) { states.push_back(state); },
                     [this](const protocol::ServerMessage& message, const std::string&) {
                       const auto* description = std::get_if<protocol::Description>(&message);
                       if (description != nullptr) answers.push_back(description->content);
                     },
                     [this](const std::string& why) { unanswered.push_back(why); }, [] {}});
    link->tick();
    server.opened();
  }
  void pass(Milliseconds time) {
    now += time;
    link->tick();
  }
  void show(std::uint64_t number) {
    Picture picture;
    picture.number = number;
    link->show(picture);
  }

  Clock::time_point now{std::chrono::hours(1)};
  Counters counters{};
  LinkSocket::Events server{};
  std::unique_ptr<Link> link{};
  std::vector<std::string> texts{};
  std::vector<std::uint64_t> sent{};
  std::vector<std::string> answers{};
  std::vector<std::string> unanswered{};
  std::vector<Link::State> states{};
  int tries = 0;
  int open_sockets = 0;
};

TEST_F(LinkTest, OriginallyThereIsOnePictureOneAnswerAndNothingElse) {
  start();
  ASSERT_TRUE(link->wants_picture());
  show(1);
  pass(Milliseconds(5000));
  EXPECT_FALSE(link->wants_picture());  // the answer is not there yet
  server.text(R"({"type": "description", "content": "A tree.", "timestamp": "20261123_081700"})");
  EXPECT_TRUE(link->wants_picture());  // it is late for the next
  EXPECT_EQ(answers, std::vector<std::string>{"A tree."});
  EXPECT_TRUE(texts.empty());
  EXPECT_EQ(counters.described.value(), 1U);
}

TEST_F(LinkTest, ThePaceIsTheIntervals) {
  LinkOptions options;
  options.interval = Milliseconds(1000);
  start(options);
  show(1);
  pass(Milliseconds(300));
  server.text(kDescription);
  EXPECT_FALSE(link->wants_picture());
  EXPECT_EQ(link->next_time(), now + Milliseconds(700));
  pass(Milliseconds(700));
  EXPECT_TRUE(link->wants_picture());
  // A picture that comes a little late does not shift those after it.
  pass(Milliseconds(30));
  show(2);
  pass(Milliseconds(100));
  server.text(kDescription);
  EXPECT_EQ(link->next_time(), now + Milliseconds(870));
}

TEST_F(LinkTest, OriginallyAnyTextIsTheAnswer) {
  start();
  show(1);
  server.text("处理出错");
  pass(Milliseconds(1000));
  EXPECT_TRUE(link->wants_picture());
}

TEST_F(LinkTest, WithStreamTokensComeBeforeTheAnswer) {
  LinkOptions options;
  options.stream = true;
  options.prompt = "What is it?";
  options.max_new_tokens = 9;
  options.interval = Milliseconds(1);
  start(options);
  EXPECT_EQ(
      texts,
      std::vector<std::string>{
          R"({"max_new_tokens":9,"prompt":"What is it?","stream":true,"temperature":0,"type":"configure"})"});
  for (const std::string end :
       {kDescription, R"({"type":"skipped","frame_id":2})",
        R"({"type":"error","code":"bad_image","message":"no JPEG","frame_id":3})"}) {
    pass(Milliseconds(10));
    ASSERT_TRUE(link->wants_picture());
    show(1);
    pass(Milliseconds(10));
    server.text(kToken);
    server.text(R"({"type":"error","code":"bad_message","message":"of no frame"})");
    server.text(R"({"type":"news"})");
    EXPECT_FALSE(link->wants_picture());
    server.text(end);
    EXPECT_TRUE(link->wants_picture());
  }
  EXPECT_EQ(counters.skipped.value(), 1U);
  EXPECT_EQ(counters.failed.value(), 4U);
}

TEST_F(LinkTest, APromptIsSentAtOnceAndAgainToTheNextConnection) {
  LinkOptions options;
  options.stream = true;
  start(options);
  link->set_prompt("图里有什么？");
  ASSERT_EQ(texts.size(), 2U);
  server.closed({Cause::kConnectionLost, "gone"});
  pass(Milliseconds(400));
  server.opened();
  ASSERT_EQ(texts.size(), 3U);
  EXPECT_EQ(texts[1], texts[2]);
}

TEST_F(LinkTest, WhatWasUnderwayIsReportedAndTheNewestGoesInstead) {
  start();
  show(1);
  server.closed({Cause::kConnectionLost, "reset"});
  EXPECT_EQ(unanswered, std::vector<std::string>{"reset"});
  EXPECT_EQ(counters.unanswered.value(), 1U);
  EXPECT_FALSE(link->wants_picture());
  EXPECT_EQ(open_sockets, 0);
  pass(Milliseconds(400));
  server.opened();
  EXPECT_TRUE(link->wants_picture());
  EXPECT_EQ(counters.connected.value(), 2U);
  EXPECT_EQ(states, (std::vector<Link::State>{Link::State::kConnecting, Link::State::kReady,
                                              Link::State::kLost, Link::State::kConnecting,
                                              Link::State::kReady}));
}

TEST_F(LinkTest, TriesComeLessAndLessOften) {
  start();
  std::vector<double> waits;
  for (int i = 0; i < 8; ++i) {
    server.closed({Cause::kNoServer, "refused"});
    const auto wait = link->next_time() - now;
    waits.push_back(std::chrono::duration<double, std::milli>(wait).count());
    const int before = tries;
    now += wait - Milliseconds(1);
    link->tick();
    EXPECT_EQ(tries, before);
    pass(Milliseconds(1));
    EXPECT_EQ(tries, before + 1);
  }
  const std::vector<double> expected = {250, 500, 1000, 2000, 4000, 5000, 5000, 5000};
  for (std::size_t i = 0; i < waits.size(); ++i) {
    EXPECT_GE(waits[i], 0.75 * expected[i]);
    EXPECT_LE(waits[i], 1.25 * expected[i]);
  }
  // An answer shows that all is well again.
  server.opened();
  show(1);
  server.text(kDescription);
  server.closed({Cause::kConnectionLost, "gone"});
  EXPECT_LE(link->next_time() - now, Milliseconds(313));
}

TEST_F(LinkTest, AServerThatNeverAnswersIsLeft) {
  LinkOptions options;
  options.answer_patience = Milliseconds(2000);
  start(options);
  show(1);
  pass(Milliseconds(2000));
  EXPECT_TRUE(unanswered.empty());
  pass(Milliseconds(1));
  EXPECT_EQ(unanswered, std::vector<std::string>{"the server does not answer"});
  EXPECT_EQ(open_sockets, 0);
}

TEST_F(LinkTest, AfterStopNothingIsTried) {
  start();
  show(1);
  link->stop();
  EXPECT_EQ(open_sockets, 0);
  EXPECT_FALSE(link->wants_picture());
  pass(std::chrono::hours(24));
  EXPECT_EQ(tries, 1);
  EXPECT_TRUE(unanswered.empty());
}

}  // namespace
}  // namespace fvlm::capture
