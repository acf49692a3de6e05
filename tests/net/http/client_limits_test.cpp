// Quotas, connection limits and the rate limit on keys of one client, without sockets and with a
// clock that the tests move.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "net/http/connection_limits.hpp"
#include "net/http/key_guard.hpp"
#include "net/http/quota.hpp"

namespace fvlm::net {
namespace {

using std::chrono::seconds;

TEST(Quota, HoldsEachClientToItsShareAndTakesItBack) {
  Quota quota(10);
  auto six = quota.take("a", 6);
  ASSERT_TRUE(six);
  EXPECT_FALSE(quota.take("a", 5));
  auto four = quota.take("a", 4);
  EXPECT_TRUE(four);
  EXPECT_FALSE(quota.take("a"));
  EXPECT_TRUE(quota.take("b", 10)) << "others have their own";
  six.reset();
  EXPECT_EQ(quota.held("a"), 4U);
  EXPECT_TRUE(quota.take("a", 6));
  four.reset();
  EXPECT_EQ(quota.held("a"), 0U);
}

TEST(Quota, OneOfAnySizeFitsAndNothingTakesNothing) {
  Quota quota(10);
  auto nothing = quota.take("a", 0);
  auto large = quota.take("a", 1000);
  EXPECT_TRUE(large);
  EXPECT_FALSE(quota.take("a", 1));
  large.reset();
  nothing.reset();
  EXPECT_EQ(quota.held("a"), 0U);
  EXPECT_EQ(share_of(1024, 0), 256U);
  EXPECT_EQ(share_of(1, 0), 1U);
  EXPECT_EQ(share_of(1024, 7), 7U);
}

// Connections by number, in the order in which they were cut.
class ConnectionLimitsTest : public testing::Test {
 protected:
  using Place = std::optional<ConnectionLimits::Place>;
  Place connect(int number, const std::string& client) {
    return limits_->take(client, [this, number] { cut_.push_back(number); });
  }
  std::shared_ptr<ConnectionLimits> limits_ = std::make_shared<ConnectionLimits>(5, 3);
  std::vector<int> cut_;
};

TEST_F(ConnectionLimitsTest, TheLongestIdleOfAClientMakesWayForItsNext) {
  std::vector<Place> places;
  places.push_back(connect(0, "b"));
  for (int i = 1; i <= 3; ++i) places.push_back(connect(i, "a"));
  places.at(1)->keep();
  EXPECT_TRUE(places.emplace_back(connect(4, "a")));
  EXPECT_EQ(cut_, std::vector<int>{2}) << "1 has asked for something, 0 is another's";
  EXPECT_EQ(limits_->open(), 4U);
  places.at(3)->keep();
  places.at(4)->keep();
  EXPECT_FALSE(connect(5, "a")) << "all have asked";
  EXPECT_EQ(limits_->refused(), 2U);
  places.at(3).reset();
  EXPECT_TRUE(places.emplace_back(connect(6, "a")));
  EXPECT_EQ(cut_.size(), 1U);
}

TEST_F(ConnectionLimitsTest, TheLongestIdleOfAllMakesWayAtTheLimitOfAll) {
  std::vector<Place> places;
  for (int i = 0; i < 5; ++i) places.push_back(connect(i, std::to_string(i)));
  places.at(0)->keep();
  EXPECT_TRUE(places.emplace_back(connect(5, "new")));
  EXPECT_EQ(cut_, std::vector<int>{1});
  places.at(1).reset();  // the one that was cut ends, and frees no second place
  EXPECT_EQ(limits_->open(), 5U);
  for (auto& place : places) {
    if (place) place->keep();
  }
  EXPECT_FALSE(connect(6, "newer"));
  places.clear();
  EXPECT_EQ(limits_->open(), 0U);
}

TEST_F(ConnectionLimitsTest, OneThatWasAnsweredWaitsAgainAsTheLastInLine) {
  std::vector<Place> places;
  for (int i = 0; i < 3; ++i) places.push_back(connect(i, "a"));
  places.at(0)->keep();
  places.at(0)->rest();
  places.at(2)->keep();
  places.push_back(connect(3, "a"));
  EXPECT_EQ(cut_, std::vector<int>{1}) << "it has waited longest";
  places.push_back(connect(4, "a"));
  EXPECT_EQ(cut_, (std::vector<int>{1, 0}));
  places.at(0)->rest();
  places.at(0).reset();  // which was cut
  EXPECT_EQ(limits_->open(), 3U);
}

TEST_F(ConnectionLimitsTest, PlacesOutliveTheirTransport) {
  const Place place = connect(0, "a");
  const std::weak_ptr<ConnectionLimits> limits = limits_;
  limits_.reset();
  EXPECT_FALSE(limits.expired()) << "the place gives itself back to it";
}

std::vector<ApiKey> keys_of(const std::string& key) {
  return {{.name = "other", .digest = digest_of("other")},
          {.name = "name", .digest = digest_of(key)}};
}

class KeyGuardTest : public testing::Test {
 protected:
  using Kind = KeyGuard::Verdict::Kind;
  KeyGuard::Verdict give(const std::string& key, const std::string& client = "a") {
    return guard_.check(client, "Bearer " + key, now_);
  }
  KeyGuard::Clock::time_point now_{std::chrono::hours(1)};
  KeyGuard guard_{keys_of("secret"), 3};
};

TEST_F(KeyGuardTest, WhoTriesKeysWaitsLongerEachTime) {
  for (const char* key : {"1", "2", "3"}) EXPECT_EQ(give(key).wait, seconds(0)) << key;
  for (const int wait : {1, 2, 4, 8, 16, 32, 60, 60}) {
    const auto wrong = give("try " + std::to_string(now_.time_since_epoch().count()));
    EXPECT_EQ(wrong.kind, Kind::kWrong);
    EXPECT_EQ(wrong.wait, seconds(wait));
    EXPECT_EQ(give("secret").kind, Kind::kWait) << "not looked at";
    EXPECT_EQ(give("secret", "b").kind, Kind::kRight) << "others do not wait";
    now_ += seconds(wait) - std::chrono::milliseconds(1);
    EXPECT_EQ(give("secret").wait, seconds(1));
    now_ += std::chrono::milliseconds(1);
    EXPECT_EQ(give("secret").kind, Kind::kRight);
  }
  now_ += std::chrono::minutes(16);
  EXPECT_EQ(give("after a while").wait, seconds(0));
}

TEST_F(KeyGuardTest, TheSameWrongKeyWaitsAlone) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(give("old").wait, seconds(0));
  EXPECT_EQ(give("old").wait, seconds(1));
  EXPECT_EQ(give("old").kind, Kind::kWait);
  EXPECT_EQ(give("secret").kind, Kind::kRight);
  EXPECT_EQ(give("another").kind, Kind::kWrong);
}

TEST_F(KeyGuardTest, NoKeyIsNoTry) {
  for (int i = 0; i < 20; ++i) EXPECT_EQ(guard_.check("a", "", now_).kind, Kind::kMissing);
  EXPECT_EQ(give("secret").kind, Kind::kRight);
}

TEST_F(KeyGuardTest, ManyClientsPushOutTheOldestOnly) {
  for (const char* key : {"1", "2", "3", "4"}) give(key);
  now_ += std::chrono::milliseconds(100);
  for (int i = 0; i < 1000; ++i) give("x", "client " + std::to_string(i));
  EXPECT_EQ(give("secret").kind, Kind::kWait);
  for (int i = 1000; i < 3000; ++i) give("x", "client " + std::to_string(i));
  EXPECT_EQ(give("secret").kind, Kind::kRight) << "4096 names are remembered, two of a client";
}

TEST_F(KeyGuardTest, ItsNameComesWithARightKey) {
  EXPECT_EQ(give("secret").name, "name");
  EXPECT_EQ(give("other").name, "other");
  EXPECT_EQ(give("wrong").name, "");
}

TEST_F(KeyGuardTest, OtherKeysCountFromThenOnAndWhatWasWrongIsForgotten) {
  for (const char* key : {"new", "2", "3", "4"}) give(key);
  EXPECT_EQ(give("new").kind, Kind::kWait);
  guard_.set(keys_of("new"), 3);
  EXPECT_EQ(give("new").kind, Kind::kRight);
  EXPECT_EQ(give("secret").kind, Kind::kWrong);
}

TEST_F(KeyGuardTest, ZeroFreeTriesMeansThatAllAre) {
  KeyGuard guard(keys_of("secret"), 0);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(guard.check("a", "Bearer " + std::to_string(i), now_).wait, seconds(0));
  }
}

}  // namespace
}  // namespace fvlm::net
