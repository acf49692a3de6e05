// Whose requests a reverse proxy hands on, and below which path.
#include "net/http/proxy.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace fvlm::net {
namespace {

bool holds(const std::string& network, const std::string& address) {
  return parse_network(network)->contains(*parse_address(address));
}

TEST(Network, HoldsTheAddressesThatShareItsBits) {
  EXPECT_TRUE(holds("192.0.2.7", "192.0.2.7"));
  EXPECT_FALSE(holds("192.0.2.7", "192.0.2.6"));
  EXPECT_TRUE(holds("10.0.0.0/8", "10.255.1.2"));
  EXPECT_TRUE(holds("10.0.0.0/8", "::ffff:10.1.2.3"));
  EXPECT_FALSE(holds("10.0.0.0/8", "11.0.0.0"));
  EXPECT_TRUE(holds("192.0.2.128/25", "192.0.2.255"));
  EXPECT_FALSE(holds("192.0.2.128/25", "192.0.2.127"));
  EXPECT_TRUE(holds("0.0.0.0/0", "8.8.8.8"));
  EXPECT_FALSE(holds("0.0.0.0/0", "2001:db8::1"));
  EXPECT_TRUE(holds("2001:db8::/32", "2001:db8:ffff::1"));
  EXPECT_FALSE(holds("2001:db8::/32", "2001:db9::1"));
  EXPECT_EQ(wrong_network({"::1", "10.0.0.0/8"}), std::nullopt);
  for (const char* wrong : {"", "localhost", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1",
                            "10.0.0.0/8x", "10.0.0/8", "::/129", "/8"}) {
    EXPECT_NE(
        wrong_network({"::1", wrong}).value_or("").find(std::string("--trusted-proxy ") + wrong),
        std::string::npos)
        << wrong;
  }
}

std::string client(const std::string& x_forwarded_for, const std::string& forwarded = "") {
  static const TrustedProxies kProxies({"10.0.0.0/8", "2001:db8:1::/48"});
  return kProxies.client_of({.forwarded_for = x_forwarded_for, .forwarded = forwarded})
      .value_or("none");
}

TEST(TrustedProxies, TheLastAddressThatIsNoProxysIsTheClients) {
  EXPECT_EQ(client(""), "none");
  EXPECT_EQ(client("192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(client("192.0.2.7, 10.0.0.1"), "192.0.2.7");
  EXPECT_EQ(client("192.0.2.7,10.0.0.1 ,\t10.0.0.2"), "192.0.2.7");
  EXPECT_EQ(client("203.0.113.9, 192.0.2.7, 10.0.0.1"), "192.0.2.7") << "the rest is hearsay";
  EXPECT_EQ(client("10.0.0.3, 10.0.0.1"), "10.0.0.3") << "a client among the proxies";
  EXPECT_EQ(client("192.0.2.7:1234"), "192.0.2.7");
  EXPECT_EQ(client("2001:DB8::7"), "2001:db8::7");
  EXPECT_EQ(client("[2001:db8::7]:1234, 2001:db8:1::1"), "2001:db8::7");
  EXPECT_EQ(client("unknown"), "none");
  EXPECT_EQ(client("192.0.2.7, unknown, 10.0.0.1"), "10.0.0.1") << "nobody knows whom it serves";
  EXPECT_EQ(client("192.0.2.7, evil.example"), "none");
  EXPECT_EQ(client("192.0.2.7,"), "none");
}

TEST(TrustedProxies, ForwardedSaysTheSame) {
  EXPECT_EQ(client("", "for=192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(client("", "For=\"[2001:db8::7]:4711\""), "2001:db8::7");
  EXPECT_EQ(client("", "proto=https;for=192.0.2.7;by=10.0.0.1, for=10.0.0.1"), "192.0.2.7");
  EXPECT_EQ(client("", "for=192.0.2.7;host=\"a,b;c\", for=10.0.0.1"), "192.0.2.7");
  EXPECT_EQ(client("", "for=_hidden"), "none");
  EXPECT_EQ(client("", "by=10.0.0.1"), "none");
  EXPECT_EQ(client("192.0.2.7", "for=192.0.2.8"), "192.0.2.7") << "the older header counts";
}

TEST(BasePath, IsTakenOffThePaths) {
  EXPECT_EQ(normal_base_path("vlm/"), "/vlm");
  EXPECT_EQ(normal_base_path("/a/b//"), "/a/b");
  EXPECT_EQ(normal_base_path("/"), "");
  EXPECT_EQ(below_base_path("/vlm", "/vlm/"), "/");
  EXPECT_EQ(below_base_path("/vlm", "/vlm/v1/models"), "/v1/models");
  for (const char* path : {"/", "/vlm", "/vlmx/", "/other/vlm/", ""}) {
    EXPECT_EQ(below_base_path("/vlm", path), std::nullopt) << path;
  }
  EXPECT_EQ(wrong_base_path("/a-b/c_1.~"), std::nullopt);
  for (const char* path : {"/a b", "/a?b", "/a//b", "/a%20b", "/\xc3\xa9"}) {
    EXPECT_NE(wrong_base_path(path), std::nullopt) << path;
  }
}

}  // namespace
}  // namespace fvlm::net
