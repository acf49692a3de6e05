#include "net/protocol/base64.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>

namespace fvlm::net {
namespace {

TEST(Base64, ThereAndBack) {
  const std::string odd("\0\xff\xfe", 3);
  for (const auto& [bytes, text] : {std::pair<std::string, std::string>{"", ""},
                                    {"f", "Zg=="},
                                    {"fo", "Zm8="},
                                    {"foo", "Zm9v"},
                                    {"foob", "Zm9vYg=="},
                                    {odd, "AP/+"}}) {
    EXPECT_EQ(encode_base64(bytes), text);
    EXPECT_EQ(decode_base64(text), bytes) << text;
  }
}

TEST(Base64, WhatIsNoneIsRefused) {
  for (const char* text : {"Z", "Zm9v!", "Z=9v", "Zg===", "-_-_"}) {
    EXPECT_EQ(decode_base64(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace fvlm::net
