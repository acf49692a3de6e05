#include "net/protocol/percent.hpp"

#include <gtest/gtest.h>

namespace fvlm::net {
namespace {

TEST(Percent, Decoded) {
  EXPECT_EQ(percent_decoded("a%2Fb%2f%41"), "a/b/A");
  EXPECT_EQ(percent_decoded("%C3%A9"), "\u00e9");
  EXPECT_EQ(percent_decoded(""), "");
}

TEST(Percent, WhatIsNoCodeStays) {
  EXPECT_EQ(percent_decoded("100%"), "100%");
  EXPECT_EQ(percent_decoded("%4"), "%4");
  EXPECT_EQ(percent_decoded("%zz%4g%-1"), "%zz%4g%-1");
  EXPECT_EQ(percent_decoded("%%41"), "%A");
}

}  // namespace
}  // namespace fvlm::net
