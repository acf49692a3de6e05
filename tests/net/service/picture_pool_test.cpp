// Which thread decodes an image, and that it is decoded in the end.
#include "net/service/picture_pool.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tests/net/service/server_fixture.hpp"

namespace fvlm::net {
namespace {

using std::chrono::milliseconds;

struct Attempt {
  bool idle;     // on a thread that runs when the processor is idle
  int niceness;  // of that thread
  bool complete;
};

// Reads images, and notes where.
class ReadingEngine final : public IdleEngine {
 public:
  PreparedImage prepare(ImageReader& reader) override {
    const std::lock_guard lock(mutex_);
    Attempt& attempt = attempts_.emplace_back(
        Attempt{.idle = ::sched_getscheduler(0) == SCHED_IDLE,
                .niceness = ::getpriority(PRIO_PROCESS, static_cast<id_t>(::gettid())),
                .complete = false});
    const Image image = read_whole(reader);
    attempt.complete = true;
    PreparedImage prepared;
    prepared.side = image.width;
    return prepared;
  }
  std::vector<Attempt> attempts() {
    const std::lock_guard lock(mutex_);
    return attempts_;
  }

 private:
  std::mutex mutex_;
  std::vector<Attempt> attempts_;
};

class PicturePoolTest : public testing::Test {
 protected:
  // The attempts at decoding a file, which succeed in the end.
  std::vector<Attempt> decode(const std::string& file, milliseconds patience) {
    ReadingEngine engine;
    PicturePoolOptions options;
    options.idle_patience = patience;
    PicturePool pool(engine, options);
    std::promise<PicturePool::Prepared> promise;
    const auto wanted = std::make_shared<int>();
    pool.prepare("192.0.2.1", {read_file(kData / file)}, wanted,
                 [&](PicturePool::Prepared prepared) { promise.set_value(std::move(prepared)); });
    const PicturePool::Prepared prepared = promise.get_future().get();
    const auto* images = std::get_if<std::vector<PreparedImage>>(&prepared);
    EXPECT_TRUE(images != nullptr && images->size() == 1 && images->front().side > 0);
    return engine.attempts();
  }
  static constexpr milliseconds kPatient{600'000};
};

TEST_F(PicturePoolTest, ACamerasFrameHasAThreadOfNormalPriority) {
  const auto attempts = decode("images/420.jpg", kPatient);
  ASSERT_EQ(attempts.size(), 1U);
  EXPECT_FALSE(attempts[0].idle);
  EXPECT_EQ(attempts[0].niceness, ::getpriority(PRIO_PROCESS, 0));
}

TEST_F(PicturePoolTest, ALargeImageWaitsForAnIdleProcessor) {
  const auto attempts = decode("large/streamed.png", kPatient);
  ASSERT_EQ(attempts.size(), 1U);
  EXPECT_TRUE(attempts[0].idle);
}

TEST_F(PicturePoolTest, ALargeImageIsDecodedOnABusyProcessorToo) {
  const auto attempts = decode("large/streamed.png", milliseconds(0));
  ASSERT_EQ(attempts.size(), 2U);
  EXPECT_TRUE(attempts[0].idle);
  EXPECT_FALSE(attempts[0].complete);
  EXPECT_FALSE(attempts[1].idle);
  EXPECT_GT(attempts[1].niceness, ::getpriority(PRIO_PROCESS, 0));
  EXPECT_TRUE(attempts[1].complete);
}

// Nobody could stop its decoder between two rows.
TEST_F(PicturePoolTest, ALargeImageThatIsDecodedWholeIsNotHeldUp) {
  const auto attempts = decode("large/whole.webp", milliseconds(0));
  ASSERT_EQ(attempts.size(), 1U);
  EXPECT_FALSE(attempts[0].idle);
  EXPECT_GT(attempts[0].niceness, ::getpriority(PRIO_PROCESS, 0));
}

TEST_F(PicturePoolTest, AnErrorOnAnyThreadIsHandedOver) {
  IdleEngine engine;
  PicturePool pool(engine, {});
  std::promise<PicturePool::Prepared> promise;
  const auto wanted = std::make_shared<int>();
  pool.prepare("192.0.2.1", {"no image"}, wanted,
               [&](PicturePool::Prepared prepared) { promise.set_value(std::move(prepared)); });
  EXPECT_TRUE(std::holds_alternative<std::exception_ptr>(promise.get_future().get()));
}

// Fails, and tells whether its error still exists.
class FailingEngine final : public IdleEngine {
 public:
  PreparedImage prepare(ImageReader&) override { throw Failure(held_); }
  bool error_exists() const { return held_.use_count() > 1; }

 private:
  struct Failure : Error {
    explicit Failure(std::shared_ptr<int> one) : Error("failed"), held(std::move(one)) {}
    std::shared_ptr<int> held;
  };
  std::shared_ptr<int> held_ = std::make_shared<int>();
};

// Or a thread of the pool would free it while its receiver reads it, as far as ThreadSanitizer can
// tell: it does not see the counters in libstdc++.
TEST_F(PicturePoolTest, AnErrorIsItsReceiversAlone) {
  FailingEngine engine;
  PicturePool pool(engine, {});
  std::promise<bool> existed_after;
  const auto wanted = std::make_shared<int>();
  pool.prepare("192.0.2.1", {read_file(kData / "images/420.jpg")}, wanted,
               [&](PicturePool::Prepared prepared) {
                 EXPECT_TRUE(engine.error_exists());
                 prepared = {};
                 existed_after.set_value(engine.error_exists());
               });
  EXPECT_FALSE(existed_after.get_future().get());
}

TEST_F(PicturePoolTest, WhatNobodyWantsAnyMoreIsNotDecoded) {
  ReadingEngine engine;
  PicturePool pool(engine, {.threads = 1});
  std::promise<void> blocked;
  pool.put([&] { blocked.get_future().wait(); });
  auto wanted = std::make_shared<int>();
  bool unwanted_done = false;
  std::promise<void> done;
  pool.prepare("192.0.2.1", {read_file(kData / "images/420.jpg")}, wanted,
               [&](const PicturePool::Prepared&) { unwanted_done = true; });
  wanted.reset();
  const auto other = std::make_shared<int>();
  pool.prepare("192.0.2.1", {read_file(kData / "images/420.jpg")}, other,
               [&](const PicturePool::Prepared&) { done.set_value(); });
  blocked.set_value();
  done.get_future().wait();
  EXPECT_FALSE(unwanted_done);
  EXPECT_EQ(engine.attempts().size(), 1U);
}

// Small pictures, whose memory is their sender's to keep.
class KeepingEngine final : public IdleEngine {
 public:
  PreparedImage prepare(ImageReader&) override {
    return {.pixels = Pixels(new std::uint8_t[1], std::default_delete<std::uint8_t[]>()),
            .side = 1};
  }
  const EngineInfo& info() const override { return info_; }

 private:
  const EngineInfo info_ = [] {
    EngineInfo info;
    info.image_size = 10;
    return info;
  }();
};

TEST_F(PicturePoolTest, AnAddressHasAShareOfWhatMayBeQueued) {
  constexpr std::size_t kEach = 300;  // bytes of a picture
  KeepingEngine engine;
  PicturePool pool(engine, {.max_bytes = 8 * kEach});  // two of an address
  const auto wanted = std::make_shared<int>();
  const std::string file = read_file(kData / "images/420.jpg");
  const auto prepare = [&](const std::string& client, std::size_t count) {
    std::promise<PicturePool::Prepared> promise;
    pool.prepare(client, std::vector<std::string>(count, file), wanted,
                 [&](PicturePool::Prepared prepared) { promise.set_value(std::move(prepared)); });
    return promise.get_future().get();
  };
  const auto refusal = [](const PicturePool::Prepared& prepared) -> std::string {
    const auto* const error = std::get_if<std::exception_ptr>(&prepared);
    if (error == nullptr) return "";
    try {
      std::rethrow_exception(*error);
    } catch (const Busy& busy) {
      return busy.what();
    }
  };
  auto first = prepare("a", 1);
  const auto second = prepare("a", 1);
  EXPECT_EQ(refusal(first), "");
  EXPECT_EQ(refusal(second), "");
  EXPECT_EQ(refusal(prepare("a", 1)), "too many images of your address are queued");
  {
    const auto many = prepare("b", 5);  // one request is not refused because of itself
    EXPECT_EQ(refusal(many), "");
    EXPECT_EQ(refusal(prepare("c", 2)), "too many images are queued");
  }
  EXPECT_EQ(refusal(prepare("c", 2)), "");
  first = {};
  EXPECT_EQ(refusal(prepare("a", 1)), "");
}

}  // namespace
}  // namespace fvlm::net
