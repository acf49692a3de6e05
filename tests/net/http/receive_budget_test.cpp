// What clients send is bounded in all and for each of them, until it has been read.
#include "net/http/receive_budget.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>

#include "tests/net/http/http_fixture.hpp"
#include "tests/support/raw_websocket.hpp"
#include "tests/support/waiting.hpp"

namespace fvlm {
namespace {

using net::ReceiveBudget;

constexpr std::size_t kMegabyte = std::size_t{1} << 20;

TEST(ReceiveBudget, HoldsClientsToTheirShareAndAllToTheWhole) {
  ReceiveBudget budget(4 * kMegabyte, 2 * kMegabyte);
  ReceiveBudget::Share first(budget, "a");
  ReceiveBudget::Share second(budget, "a");
  EXPECT_TRUE(first.grow_to(kMegabyte));
  EXPECT_TRUE(first.grow_to(kMegabyte + kMegabyte / 2));
  EXPECT_FALSE(budget.has_room("a", kMegabyte));
  EXPECT_FALSE(second.grow_to(kMegabyte));
  EXPECT_TRUE(second.grow_to(1000)) << "what is short is not counted";
  EXPECT_TRUE(budget.has_room("a", 1000));
  ReceiveBudget::Share other(budget, "b");
  EXPECT_TRUE(other.grow_to(2 * kMegabyte));
  ReceiveBudget::Share third(budget, "c");
  EXPECT_FALSE(budget.has_room("c", kMegabyte));
  EXPECT_FALSE(third.grow_to(kMegabyte));
}

TEST(ReceiveBudget, GivesBackWhatIsReleasedOnAnyThread) {
  ReceiveBudget budget(kMegabyte, kMegabyte);
  ReceiveBudget::Share share(budget, "a");
  ASSERT_TRUE(share.grow_to(kMegabyte));
  std::shared_ptr<void> taken = share.take();
  EXPECT_FALSE(share.grow_to(kMegabyte)) << "what was taken is held";
  std::thread([&taken] { taken.reset(); }).join();
  EXPECT_TRUE(share.grow_to(kMegabyte));
}

class ReceivingServer : public testing::Test {
 protected:
  // The status of a request whose body has been announced and not sent.
  int status_of_announced(std::size_t size) const {
    RawSocket client(server_.port());
    client.send("POST /p HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: " +
                std::to_string(size) + "\r\n\r\n");
    return status_of(client.read_until("\r\n\r\n"));
  }
  std::string chunk(std::size_t size) const {
    return fmt::format("{:x}\r\n", size) + std::string(size, 'x') + "\r\n";
  }
  const std::string post_head_ = "POST /p HTTP/1.1\r\nHost: localhost\r\n";
  EchoServer server_{
      {.max_received_bytes = kMegabyte, .max_received_bytes_per_address = kMegabyte}};
};

TEST_F(ReceivingServer, RefusesBodiesBeyondItsBudgetUntilOthersEnd) {
  RawSocket first(server_.port());
  first.send(post_head_ + "Content-Length: 750000\r\n\r\n" + std::string(700'000, 'x'));
  EXPECT_TRUE(wait_for([&] { return status_of_announced(500'000) == 503; }));
  EXPECT_EQ(status_of_announced(1000), 100);
  RawSocket chunked(server_.port());
  chunked.send(post_head_ + "Transfer-Encoding: chunked\r\n\r\n" + chunk(500'000));
  const std::string refusal = chunked.read_all();
  EXPECT_EQ(status_of(refusal), 503);
  EXPECT_NE(refusal.find("Retry-After: 1"), refusal.npos) << refusal;
  first.send(std::string(50'000, 'x'));
  EXPECT_EQ(status_of(read_response(first)), 200);
  EXPECT_TRUE(wait_for([&] { return status_of_announced(500'000) == 100; }));
}

TEST_F(ReceivingServer, AConnectionThatEndsGivesItsBytesBack) {
  {
    RawSocket client(server_.port());
    client.send(post_head_ + "Content-Length: 1000000\r\n\r\n" + std::string(900'000, 'x'));
    EXPECT_TRUE(wait_for([&] { return status_of_announced(500'000) == 503; }));
  }
  EXPECT_TRUE(wait_for([&] { return status_of_announced(500'000) == 100; }));
}

TEST_F(ReceivingServer, CountsMessagesThatAreNotWhole) {
  RawWebSocket first(server_.port());
  first.socket().send(client_frame(RawWebSocket::kBinary, std::string(700'000, 'x'), false));
  EXPECT_TRUE(wait_for([&] { return status_of_announced(500'000) == 503; }));
  RawWebSocket second(server_.port());
  second.socket().send(client_frame(RawWebSocket::kBinary, std::string(500'000, 'x'), false));
  const auto refusal = second.next();
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->opcode, RawWebSocket::kClose);
  EXPECT_EQ(refusal->payload.substr(0, 2), "\x03\xf5") << "1013, try again later";
  first.socket().send(client_frame(RawWebSocket::kContinuation, "x"));
  EXPECT_TRUE(wait_for([&] { return status_of_announced(500'000) == 100; }));
}

}  // namespace
}  // namespace fvlm
