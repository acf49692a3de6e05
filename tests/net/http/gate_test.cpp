// Whom the gate lets in, and what it says to the others.
#include "net/http/gate.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace fvlm::net {
namespace {

constexpr WebFile kFiles[] = {{"index.html", "<p>"}};

struct GateTest : testing::Test {
  Gate gate(const AccessOptions& options) {
    return {options,
            {"robot", "secret", "area"},
            page,
            [this](const std::string& line, const HttpRequest&) { lines.push_back(line); }};
  }
  const WebPage page{kFiles, ""};
  std::vector<std::string> lines{};
};

TEST_F(GateTest, OtherNamesOfThisMachineNeedAKeyOrLeave) {
  const HttpRequest rebound{.path = "/", .host = "evil.example"};
  const auto refusal = gate({}).refuse_caller(rebound);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->status, 403);
  EXPECT_EQ(refusal->text, "this robot answers to localhost only");
  EXPECT_EQ(refusal->code, "wrong_host");
  EXPECT_FALSE(gate({}).refuse_caller({.path = "/", .host = "localhost"}));
  EXPECT_FALSE(gate({.key = "k"}).refuse_caller(rebound));
  EXPECT_FALSE(gate({.open_to_all = true}).refuse_caller(rebound));
}

TEST_F(GateTest, PagesOfOtherSitesGetNoMoreThanThePagesFiles) {
  const Gate guarded = gate({.allowed_origins = {"https://friend.example"}});
  HttpRequest request{.path = "/x", .host = "localhost", .referer = "https://evil.example/"};
  const auto refusal = guarded.refuse_caller(request);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->status, 403);
  EXPECT_EQ(refusal->text,
            "pages of other sites may not use this robot; --allow-origin would let them");
  EXPECT_EQ(refusal->code, "wrong_origin");
  request.path = "/";
  EXPECT_FALSE(guarded.refuse_caller(request));
  request.origin = "https://evil.example";
  const auto named = guarded.refuse_caller(request);
  ASSERT_TRUE(named);
  EXPECT_EQ(named->text,
            "pages of https://evil.example may not use this robot; --allow-origin would let them");
  request.origin = "https://friend.example";
  EXPECT_FALSE(guarded.refuse_caller(request));
}

TEST_F(GateTest, WrongKeysAreLoggedCountedAndSlowedDown) {
  Gate locked = gate({.key = "right", .free_wrong_keys = 1});
  HttpRequest request{.peer = "192.0.2.7:9", .client = "192.0.2.7"};
  const auto asked = locked.refuse_key(request);
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->status, 401);
  EXPECT_EQ(asked->text, "this robot wants its secret");
  EXPECT_EQ(asked->code, "invalid_api_key");
  EXPECT_EQ(asked->headers, (HttpHeaders{{"WWW-Authenticate", "Basic realm=\"area\""}}));
  EXPECT_EQ(locked.wrong_keys(), 0) << "no key is no try";
  for (const char* key : {"Bearer a", "Bearer b"}) {
    request.authorization = key;
    EXPECT_EQ(locked.refuse_key(request).value_or(Refusal{}).status, 401);
  }
  request.authorization = "Bearer right";
  const auto slowed = locked.refuse_key(request);
  ASSERT_TRUE(slowed);
  EXPECT_EQ(slowed->status, 429);
  EXPECT_EQ(slowed->text, "too many wrong keys came from 192.0.2.7; try again in 1 s");
  EXPECT_EQ(slowed->code, "too_many_wrong_keys");
  EXPECT_EQ(slowed->headers, (HttpHeaders{{"Retry-After", "1"}}));
  EXPECT_EQ(locked.wrong_keys(), 2);
  EXPECT_EQ(locked.refused_keys(), 1);
  EXPECT_EQ(lines,
            (std::vector<std::string>{"⚠️ 192.0.2.7:9 gave a wrong key",
                                      "⚠️ 192.0.2.7:9 gave a wrong key, and waits for 1 s"}));
  request.client = "192.0.2.8";
  EXPECT_FALSE(locked.refuse_key(request));
  request.authorization = "";
  request.subprotocols = "fastvlm, fastvlm.key.right";
  EXPECT_FALSE(locked.refuse_key(request));
  request.authorization = "Bearer wrong";
  EXPECT_TRUE(locked.refuse_key(request)) << "a header comes first";
  EXPECT_FALSE(gate({}).refuse_key(request));
}

TEST(AccessOptions, WithoutAKeyOnlyThisMachineIsServedUnlessSomebodySaysSo) {
  EXPECT_TRUE(AccessOptions{}.exposes("0.0.0.0"));
  EXPECT_FALSE(AccessOptions{}.exposes("::1"));
  EXPECT_FALSE(AccessOptions{.key = "k"}.exposes("0.0.0.0"));
  EXPECT_FALSE(AccessOptions{.keys = {{.name = "a"}}}.exposes("0.0.0.0"));
  EXPECT_FALSE(AccessOptions{.open_to_all = true}.exposes("0.0.0.0"));
}

}  // namespace
}  // namespace fvlm::net
