// What the tests of messages share.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <variant>

namespace fvlm::protocol {

// A message is spelled as `text`, byte for byte, and read from it.
template <class Message, class Read>
void expect_spelling(const Message& message, const std::string& text, Read read) {
  EXPECT_EQ(write(message), text);
  const auto back = read(text);
  ASSERT_TRUE(std::holds_alternative<Message>(back)) << text;
  EXPECT_TRUE(std::get<Message>(back) == message) << text;
}

}  // namespace fvlm::protocol
