// The link to a server over TLS: whom it trusts, and what it says if it does not.
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "net/http/transport.hpp"
#include "tests/capture/client_fixture.hpp"
#include "tests/support/certificate.hpp"
#include "tests/support/waiting.hpp"

namespace fvlm::capture {
namespace {

// Describes everything as a tree, over TLS and with a key.
class SecureServer final : private net::TransportEvents {
 public:
  SecureServer(const std::string& certificate_file, const std::string& key_file)
      : transport_(net::Transport::listen(
            {.port = 0, .certificate_file = certificate_file, .key_file = key_file}, *this)),
        thread_([this] { transport_->run(); }) {}
  ~SecureServer() override {
    transport_->post([this] { transport_->stop(); });
    thread_.join();
  }
  std::string url(const std::string& host) const {
    return "wss://" + host + ":" + std::to_string(transport_->port()) + "/ws";
  }

 private:
  std::optional<net::HttpResponse> on_head(net::HttpRequest&) override { return {}; }
  net::HttpResponse on_upgrade(net::HttpRequest& request) override {
    return {.status = request.authorization == "Bearer secret" ? 101 : 401};
  }
  void on_open(net::ConnectionId, const net::HttpRequest&) override {}
  void on_message(net::ConnectionId id, std::string, bool) override {
    transport_->send(id, original_description("A tree."));
  }
  void on_close(net::ConnectionId) override {}
  std::optional<net::HttpResponse> on_http(net::ExchangeId, net::HttpRequest) override {
    return net::HttpResponse{};
  }
  void on_http_gone(net::ExchangeId) override {}
  net::HttpResponse refusal(const net::HttpRequest&, int status, const std::string& why) override {
    return net::text_response(status, why);
  }
  void on_error(const std::string&) override {}

  std::unique_ptr<net::Transport> transport_;
  std::thread thread_;
};

class WssTest : public ClientTest {
 protected:
  WssTest() {
    make_certificate("localhost", certificate_, key_);
    write_file(folder / "secret", "secret\n");
    server_ = std::make_unique<SecureServer>(certificate_, key_);
  }
  // The first that the camera's log has of these.
  bool logs(const std::string& server, const std::string& line,
            const std::vector<std::string>& more) {
    std::vector<std::string> flags = {"--source", "test-pattern", "--width", "64"};
    flags.insert(flags.end(), more.begin(), more.end());
    const auto camera = start(server, flags);
    return wait_for([&] { return contains(read_file(folder / "client.log"), line); },
                    Milliseconds(5000));
  }

  const std::string certificate_ = (folder / "certificate.pem").string();
  const std::string key_ = (folder / "key.pem").string();
  const std::vector<std::string> trust_ = {"--ca-file", certificate_, "--api-key-file",
                                           (folder / "secret").string()};
  std::unique_ptr<SecureServer> server_;
};

TEST_F(WssTest, ATrustedServerGetsPictures) {
  EXPECT_TRUE(logs(server_->url("localhost"), "✨ 7 bytes", trust_));
}

TEST_F(WssTest, AServerThatNobodyVouchesForGetsNone) {
  EXPECT_TRUE(logs(server_->url("localhost"), "certificate verify failed", {}));
}

TEST_F(WssTest, ACertificateForAnotherNameIsNone) {
  EXPECT_TRUE(logs(server_->url("127.0.0.1"), "certificate verify failed", trust_));
}

TEST_F(WssTest, AWrongKeyIsNamed) {
  EXPECT_TRUE(logs(server_->url("localhost"), "asks for a key; --api-key-file gives one",
                   {"--ca-file", certificate_}));
}

}  // namespace
}  // namespace fvlm::capture
