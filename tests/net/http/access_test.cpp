// Host, Origin and Sec-Fetch-Site headers, as honest and hostile clients write them.
#include "net/http/access.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "net/http/address.hpp"

namespace fvlm::net {
namespace {

TEST(Access, OnlyThisMachinesAddressesAndNameAreLoopback) {
  for (const char* host : {"127.0.0.1", "127.1.2.3", "127.255.255.255", "localhost", "LocalHost",
                           "localhost.", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(is_loopback(host)) << host;
  }
  for (const char* host : {"127.evil.example",
                           "127.0.0.1.evil.example",
                           "127.0.0.1x",
                           "127.1",
                           "127.",
                           "127.0.0.256",
                           "127.0.0.01",
                           "0x7f.0.0.1",
                           "2130706433",
                           "128.0.0.1",
                           "0.0.0.0",
                           "localhost.evil.example",
                           "localhost..",
                           ".localhost",
                           "xlocalhost",
                           "localhos",
                           "",
                           "::",
                           "::2",
                           "::1%evil",
                           "::1:80",
                           "fe80::1",
                           "::ffff:128.0.0.1",
                           "127.0.0.1:5000",
                           "localhost:5000"}) {
    EXPECT_FALSE(is_loopback(host)) << host;
  }
  EXPECT_FALSE(is_loopback(std::string("127.0.0.1\0.evil.example", 23)));
}

TEST(Access, OnlyHostsThatAreThisMachineNameIt) {
  for (const char* host :
       {"127.0.0.1", "127.0.0.1:5000", "127.9.9.9:1", "localhost", "localhost:5000",
        "LOCALHOST:65535", "localhost.", "Localhost.:80", "[::1]", "[::1]:5000",
        "[0000:0000:0000:0000:0000:0000:0000:0001]:5000", "[::ffff:7f00:1]"}) {
    EXPECT_TRUE(names_loopback(host)) << host;
  }
  for (const char* host : {"127.evil.example",
                           "127.evil.example:5000",
                           "127.0.0.1.evil.example",
                           "127.0.0.1.",
                           "127.0.0.1@evil.example",
                           "evil.example@127.0.0.1",
                           "localhost.evil.example",
                           "evil.example",
                           "localhost..",
                           ".localhost",
                           "",
                           ":5000",
                           "localhost:",
                           "localhost:0",
                           "localhost:080",
                           "localhost:65536",
                           "localhost:+80",
                           "localhost:8o80",
                           "localhost: 80",
                           "localhost:80:80",
                           "localhost, evil.example",
                           "localhost/",
                           "local host",
                           "::1",
                           "::1:5000",
                           "[::1",
                           "::1]",
                           "[::1]x",
                           "[::1].evil.example",
                           "[::1]5000",
                           "[]",
                           "[127.0.0.1]",
                           "[::1%evil]",
                           "[::2]"}) {
    EXPECT_FALSE(names_loopback(host)) << host;
  }
}

Caller caller(const HttpRequest& request) {
  return caller_of(request, {"https://Friend.example", "chrome-extension://abc"});
}

TEST(Access, AnOriginIsOursIfItIsTheHostThatWasCalled) {
  struct Pair {
    const char* origin;
    const char* host;
  };
  for (const auto& [origin, host] :
       std::vector<Pair>{{"http://pi.local:8080", "pi.local:8080"},
                         {"http://PI.local:8080", "pi.LOCAL:8080"},
                         {"http://pi.local:8080", "pi.local.:8080"},
                         {"HTTP://pi.local", "pi.local"},
                         {"http://pi.local", "pi.local:80"},
                         {"https://pi.local:443", "pi.local"},
                         {"http://[::1]:5000", "[0::1]:5000"},
                         {"http://127.0.0.1:5000", "127.0.0.1:5000"}}) {
    EXPECT_EQ(caller({.host = host, .origin = origin}), Caller::kOwn) << origin << ' ' << host;
  }
  for (const auto& [origin, host] :
       std::vector<Pair>{{"http://evil.example", "pi.local"},
                         {"http://pi.local:8081", "pi.local:8080"},
                         {"http://pi.local", "pi.local:443"},
                         {"https://pi.local", "pi.local:80"},
                         {"http://pi.local.evil.example", "pi.local"},
                         {"http://evil.example#pi.local", "pi.local"},
                         {"http://evil.example@pi.local", "pi.local"},
                         {"http://pi.local/", "pi.local"},
                         {"ftp://pi.local", "pi.local"},
                         {"ws://pi.local", "pi.local"},
                         {"x://pi.local", "pi.local"},
                         {"://pi.local", "pi.local"},
                         {"pi.local", "pi.local"},
                         {"null", "null"},
                         {"http://", ""},
                         {"http://127.1:5000", "127.0.0.1:5000"},
                         {"http://127.0.0.1:5000", "localhost:5000"}}) {
    EXPECT_EQ(caller({.host = host, .origin = origin}), Caller::kForeign) << origin << ' ' << host;
  }
}

TEST(Access, APageWithoutTlsIsNotThatOfAServerWithIt) {
  EXPECT_EQ(caller({.host = "a:5000", .origin = "https://a:5000", .secure = true}), Caller::kOwn);
  EXPECT_EQ(caller({.host = "a:5000", .origin = "http://a:5000", .secure = true}),
            Caller::kForeign);
}

TEST(Access, OriginsOnTheListAreWelcomeHoweverTheyAreSpelled) {
  for (const char* origin : {"https://friend.example", "https://friend.example.:443",
                             "HTTPS://FRIEND.example", "chrome-extension://abc"}) {
    EXPECT_EQ(caller({.host = "pi", .origin = origin}), Caller::kAllowed) << origin;
  }
  for (const char* origin : {"http://friend.example", "https://friend.example:444",
                             "https://friend.example.evil", "chrome-extension://abcd"}) {
    EXPECT_EQ(caller({.host = "pi", .origin = origin}), Caller::kForeign) << origin;
  }
  EXPECT_EQ(wrong_origin({"https://a.example:8443", "http://[::1]", "moz-extension://x"}),
            std::nullopt);
  for (const char* origin :
       {"https://a.example/", "http://a b", "https:/a.example", "http://", "*", "a.example"}) {
    EXPECT_NE(wrong_origin({origin}).value_or("").find(origin), std::string::npos) << origin;
  }
}

TEST(Access, BrowsersSayWhosePageAsks) {
  const auto site = [](const char* fetch_site, const char* referer = "") {
    return caller({.host = "pi", .referer = referer, .fetch_site = fetch_site});
  };
  EXPECT_EQ(site(""), Caller::kOwn);
  EXPECT_EQ(site("none"), Caller::kOwn);
  EXPECT_EQ(site("same-origin", "https://proxied.example/"), Caller::kOwn);
  EXPECT_EQ(site("same-site"), Caller::kForeign);
  EXPECT_EQ(site("cross-site"), Caller::kForeign);
  EXPECT_EQ(site("cross-site", "http://pi/"), Caller::kForeign);
  EXPECT_EQ(site("something-new"), Caller::kForeign);
  EXPECT_EQ(site("cross-site", "https://friend.example/"), Caller::kAllowed);
  EXPECT_EQ(site("", "http://pi/a/page"), Caller::kOwn);
  EXPECT_EQ(site("", "https://friend.example/page?x=http://pi/"), Caller::kAllowed);
  EXPECT_EQ(site("", "http://evil.example/http://pi/"), Caller::kForeign);
  EXPECT_EQ(site("", "http://pi@evil.example/"), Caller::kForeign);
  EXPECT_EQ(site("", "http://evil.example"), Caller::kForeign);

  HttpRequest link = {.host = "pi",
                      .fetch_site = "cross-site",
                      .fetch_mode = "navigate",
                      .fetch_dest = "document",
                      .fetch_user = "?1"};
  EXPECT_EQ(caller(link), Caller::kOwn);
  link.fetch_user = "";
  EXPECT_EQ(caller(link), Caller::kForeign) << "a page went there by itself";
  link.fetch_user = "?1";
  link.fetch_dest = "iframe";
  EXPECT_EQ(caller(link), Caller::kForeign);
  link.fetch_dest = "document";
  link.origin = "http://evil.example";
  EXPECT_EQ(caller(link), Caller::kForeign) << "a form was sent";
}

TEST(Access, AClientIsAnAddressOrTheNetworkOfOneCustomer) {
  EXPECT_EQ(client_of("192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(client_of("::ffff:192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(client_of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
  EXPECT_EQ(client_of("2001:db8:1:2::1"), client_of("2001:db8:1:2:ffff::9"));
  EXPECT_NE(client_of("2001:db8:1:2::1"), client_of("2001:db8:1:3::1"));
  EXPECT_EQ(client_of("fe80::1%eth0"), "fe80::1");
  EXPECT_EQ(client_of(""), "");
}

}  // namespace
}  // namespace fvlm::net
