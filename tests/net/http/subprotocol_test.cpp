// What a page says in Sec-WebSocket-Protocol.
#include "net/http/subprotocol.hpp"

#include <gtest/gtest.h>

namespace fvlm::net {
namespace {

TEST(Subprotocol, IsFoundAmongOthersAsAWhole) {
  for (const char* list : {"fastvlm", "chat, fastvlm", " fastvlm\t,x", ",,fastvlm"}) {
    EXPECT_TRUE(offers_subprotocol(list)) << list;
  }
  for (const char* list : {"", ",", "fastvlm2", "Fastvlm", "fastvlm.key.a", "a fastvlm"}) {
    EXPECT_FALSE(offers_subprotocol(list)) << list;
  }
}

TEST(Subprotocol, AKeyIsPercentEncoded) {
  EXPECT_EQ(key_offered("fastvlm, fastvlm.key.a%2Cb%20c"), "a,b c");
  EXPECT_EQ(key_offered("fastvlm.key.first, fastvlm.key.second"), "first");
  EXPECT_EQ(key_offered("fastvlm"), "");
  EXPECT_EQ(key_offered("fastvlm.key."), "");
  EXPECT_EQ(key_offered(""), "");
}

}  // namespace
}  // namespace fvlm::net
