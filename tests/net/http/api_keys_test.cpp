// Files of API keys, and the limits of each key.
#include "net/http/api_keys.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "net/http/key_limiter.hpp"
#include "net/http/request_id.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fvlm::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(ReadKey, IsTheFirstLineOfAFile) {
  const TemporaryFolder folder;
  write_file(folder / "key", "secret\nmore\n");
  write_file(folder / "blank", "\nsecret\n");
  EXPECT_EQ(read_key((folder / "key").string(), "--key-file"), "secret");
  EXPECT_THROW(read_key((folder / "blank").string(), "--key-file"), std::runtime_error);
  EXPECT_THROW(read_key((folder / "nothing").string(), "--key-file"), std::runtime_error);
}

class KeyList : public testing::Test {
 protected:
  std::string file() const { return (folder_ / "keys").string(); }
  std::vector<ApiKey> read(const std::string& text) const {
    write_file(file(), text);
    return read_key_list(file());
  }
  std::string problem(const std::string& text) const {
    try {
      read(text);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "nothing is wrong";
  }

 private:
  TemporaryFolder folder_;
};

// As `printf %s hunter2 | sha256sum` has it.
const std::string kHunter2 = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";

TEST_F(KeyList, HasNamedKeysPlainOrHashedWithLimits) {
  const auto keys =
      read("# cameras\r\n\n  garage:sha256:" + kHunter2 +
           "\tstreams=4  requests-per-minute=90 waiting-frames=2\r\nOffice-1.b:p:lain=1\n");
  ASSERT_EQ(keys.size(), 2U);
  EXPECT_EQ(keys[0].name, "garage");
  EXPECT_EQ(keys[0].limits.requests_per_minute, 90U);
  EXPECT_EQ(keys[0].limits.streams, 4U);
  EXPECT_EQ(keys[0].limits.waiting_frames, 2U);
  EXPECT_EQ(find_key(keys, "hunter2"), &keys[0]);
  EXPECT_EQ(find_key(keys, "p:lain=1"), &keys[1]);
  EXPECT_EQ(keys[1].limits.streams, 0U);
  for (const char* wrong : {"", "hunter", "hunter22", "garage", "p:lain", kHunter2.c_str()}) {
    EXPECT_EQ(find_key(keys, wrong), nullptr) << wrong;
  }
}

TEST_F(KeyList, NamesTheLineThatIsWrongAndNoKey) {
  struct Case {
    const char* line;
    const char* what;
  };
  for (const auto& [line, what] : std::vector<Case>{
           {"hunter2", "expected NAME:KEY"},
           {"a:", "expected NAME:KEY"},
           {":hunter2", "a name has letters"},
           {"a/b:hunter2", "a name has letters"},
           {"a:sha256:hunter2", "64 hexadecimal digits"},
           {"a:sha256:zz2fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7",
            "64 hexadecimal digits"},
           {"first:hunter2", "first is there twice"},
           {"a:secret", "first and a have the same key"},
           {"a:hunter2 streams", "only requests-per-minute=N, streams=N"},
           {"a:hunter2 hunter2=1", "only requests-per-minute=N, streams=N"},
           {"a:hunter2 streams=0", "streams wants a number above 0"},
           {"a:hunter2 streams=-1", "streams wants a number above 0"},
           {"a:hunter2 streams=4x", "streams wants a number above 0"}}) {
    const std::string text = problem("first:secret\n" + std::string(line) + "\n");
    EXPECT_TRUE(contains(text, file() + ":2: ") && contains(text, what)) << text;
    EXPECT_FALSE(contains(text, "hunter2") || contains(text, "secret")) << text;
  }
  EXPECT_TRUE(contains(problem(""), "there is no key in it"));
  EXPECT_TRUE(contains(problem("# none\n"), "there is no key in it"));
  EXPECT_THROW(read_key_list(file() + "x"), std::runtime_error);
}

TEST_F(KeyList, IsForItsOwnerAlone) {
  read("a:b\n");
  using std::filesystem::perms;
  std::filesystem::permissions(file(), perms::owner_read | perms::owner_write);
  EXPECT_EQ(readable_by_others(file()), "");
  for (const perms others : {perms::group_read, perms::others_read}) {
    std::filesystem::permissions(file(), perms::owner_read | others);
    EXPECT_TRUE(contains(readable_by_others(file()), "chmod 600 " + file()));
  }
}

std::vector<ApiKey> with_limits(const KeyLimits& limits) {
  return {{.name = "a", .limits = limits}, {.name = "b", .limits = limits}, {.name = "free"}};
}

TEST(KeyLimiter, LetsAKeyAskSoOftenAMinute) {
  KeyLimiter limiter(with_limits({.requests_per_minute = 30}));
  KeyLimiter::Clock::time_point now{std::chrono::hours(1)};
  for (int i = 0; i < 30; ++i) EXPECT_EQ(limiter.take_request("a", now), seconds(0)) << i;
  EXPECT_EQ(limiter.take_request("a", now), seconds(2));
  EXPECT_EQ(limiter.take_request("b", now), seconds(0)) << "another key";
  now += milliseconds(1001);
  EXPECT_EQ(limiter.take_request("a", now), seconds(1));
  now += milliseconds(1000);
  EXPECT_EQ(limiter.take_request("a", now), seconds(0));
  EXPECT_GT(limiter.take_request("a", now), seconds(0));
  now += std::chrono::hours(1);
  for (int i = 0; i < 30; ++i) EXPECT_EQ(limiter.take_request("a", now), seconds(0)) << i;
  EXPECT_GT(limiter.take_request("a", now), seconds(0)) << "a minute's, not an hour's";
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(limiter.take_request("free", now), seconds(0));
    EXPECT_EQ(limiter.take_request("", now), seconds(0)) << "without a key";
  }
}

TEST(KeyLimiter, LeasesAreOfOneKeyAndComeBack) {
  KeyLimiter limiter(with_limits({.streams = 2, .waiting_frames = 1}));
  auto first = limiter.take_stream("a");
  const auto second = limiter.take_stream("a");
  EXPECT_TRUE(first && second);
  EXPECT_FALSE(limiter.has_stream("a"));
  EXPECT_FALSE(limiter.take_stream("a"));
  EXPECT_TRUE(limiter.has_stream("b") && limiter.has_stream("free") && limiter.has_stream(""));
  const auto frame = limiter.take_waiting_frame("a");
  EXPECT_TRUE(frame);
  EXPECT_FALSE(limiter.take_waiting_frame("a"));
  first.reset();
  EXPECT_TRUE(limiter.has_stream("a"));
  EXPECT_TRUE(limiter.take_stream("a"));
}

TEST(KeyLimiter, OtherLimitsCountFromThenOn) {
  KeyLimiter limiter(with_limits({.requests_per_minute = 1, .streams = 2}));
  const auto first = limiter.take_stream("a");
  const auto second = limiter.take_stream("a");
  EXPECT_EQ(limiter.take_request("a"), seconds(0));
  EXPECT_GT(limiter.take_request("a"), seconds(0));
  limiter.set(with_limits({.requests_per_minute = 1, .streams = 3}));
  EXPECT_TRUE(limiter.has_stream("a"));
  EXPECT_GT(limiter.take_request("a"), seconds(0)) << "reading them again gives nothing";
  limiter.set(with_limits({.streams = 1}));
  EXPECT_FALSE(limiter.has_stream("a"));
  EXPECT_EQ(limiter.take_request("a"), seconds(0));
  limiter.set({});
  EXPECT_TRUE(limiter.has_stream("a"));
  limiter.set(with_limits({.requests_per_minute = 5}));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(limiter.take_request("a"), seconds(0)) << i;
}

TEST(RequestIds, AreTheClientsIfTheyAreUsableElseNew) {
  RequestIds ids;
  for (const char* usable : {"1", "4bf92f35-77b3.a_b:c/d+e=@", "ABC"}) {
    EXPECT_EQ(ids.choose(usable), usable);
  }
  EXPECT_EQ(ids.choose(std::string(128, 'x')), std::string(128, 'x'));
  std::string last;
  for (const std::string& wrong :
       {std::string(), std::string("a b"), std::string("a]"), std::string("a\tb"),
        std::string("\"}"), std::string("\xc3\xa4"), std::string(129, 'x')}) {
    const std::string id = ids.choose(wrong);
    EXPECT_TRUE(is_usable_request_id(id)) << id;
    EXPECT_NE(id, last);
    last = id;
  }
  EXPECT_NE(RequestIds().choose(""), RequestIds().choose(""));
}

}  // namespace
}  // namespace fvlm::net
