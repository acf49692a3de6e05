// The server over TLS: https and wss on its port, with a certificate made for the test.
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "tests/net/service/server_fixture.hpp"
#include "tests/support/certificate.hpp"

namespace fvlm {
namespace {

class TlsTest : public ServerTest {
 protected:
  TlsTest() { make_certificate("localhost", certificate_file(), key_file()); }
  std::string certificate_file() const { return (folder_ / "certificate.pem").string(); }
  std::string key_file() const { return (folder_ / "key.pem").string(); }
  void start_with_tls() {
    start({.transport = {.certificate_file = certificate_file(), .key_file = key_file()},
           .live = {.max_new_tokens = 4}});
  }

  TemporaryFolder folder_;
};

// A TLS connection that trusts whoever is there. Every wait ends with the other side's.
class TlsSocket {
 public:
  explicit TlsSocket(std::uint16_t port, int newest_version = TLS1_3_VERSION)
      : context_(SSL_CTX_new(TLS_client_method()), SSL_CTX_free),
        connection_(BIO_new_ssl_connect(context_.get())) {
    SSL_CTX_set_max_proto_version(context_.get(), newest_version);
    SSL* tls = nullptr;
    BIO_get_ssl(connection_, &tls);
    SSL_set_max_proto_version(tls, newest_version);
    BIO_set_conn_hostname(connection_, ("127.0.0.1:" + std::to_string(port)).c_str());
    open_ = BIO_do_connect(connection_) == 1 && BIO_do_handshake(connection_) == 1;
  }
  ~TlsSocket() { BIO_free_all(connection_); }
  TlsSocket(const TlsSocket&) = delete;
  TlsSocket& operator=(const TlsSocket&) = delete;

  bool open() const { return open_; }
  // The common name of the server's certificate.
  std::string peer_name() const {
    SSL* tls = nullptr;
    BIO_get_ssl(connection_, &tls);
    const std::unique_ptr<X509, decltype(&X509_free)> certificate(SSL_get1_peer_certificate(tls),
                                                                  X509_free);
    if (certificate == nullptr) return "none";
    char name[256] = {};
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate.get()), NID_commonName, name,
                              sizeof name);
    return name;
  }
  void send(const std::string& bytes) {
    BIO_write(connection_, bytes.data(), static_cast<int>(bytes.size()));
  }
  // Until `end` was seen, or the other side closes.
  std::string read_until(const std::string& end) {
    std::string text;
    char bytes[4096];
    while (text.find(end) == std::string::npos) {
      const int size = BIO_read(connection_, bytes, sizeof bytes);
      if (size <= 0) break;
      text.append(bytes, static_cast<std::size_t>(size));
    }
    return text;
  }

 private:
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  BIO* connection_;
  bool open_ = false;
};

TEST_F(TlsTest, ServesHttps) {
  start_with_tls();
  TlsSocket client(port());
  ASSERT_TRUE(client.open());
  client.send("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(body_of(client.read_until("ok\n")), "ok\n");
}

TEST_F(TlsTest, PagesWithoutTlsAreOthers) {
  start_with_tls();
  const auto status = [&](const std::string& scheme) {
    TlsSocket client(port());
    client.send("GET /livez HTTP/1.1\r\nHost: localhost:5000\r\nOrigin: " + scheme +
                "://localhost:5000\r\n\r\n");
    return status_of(client.read_until("\r\n"));
  };
  EXPECT_EQ(status("https"), 200);
  EXPECT_EQ(status("http"), 403);
}

TEST_F(TlsTest, DescribesFramesOverWss) {
  start_with_tls();
  TlsSocket client(port());
  client.send(
      "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  EXPECT_EQ(status_of(client.read_until("\r\n\r\n")), 101);
  client.send(client_frame(RawWebSocket::kBinary, jpeg()));
  EXPECT_NE(client.read_until("\"timestamp\"").find("\"description\""), std::string::npos);
}

TEST_F(TlsTest, StreamsAnswers) {
  start_with_tls();
  TlsSocket client(port());
  const std::string body = R"({"model": "checkpoint", "max_tokens": 4, "stream": true,
                               "messages": [{"role": "user", "content": "hello"}]})";
  client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + body);
  EXPECT_TRUE(contains(client.read_until("data: [DONE]\n\n"), "data: [DONE]\n\n"));
}

TEST_F(TlsTest, RefusesOldVersionsAndPlainText) {
  start_with_tls();
  EXPECT_FALSE(TlsSocket(port(), TLS1_1_VERSION).open());
  EXPECT_TRUE(TlsSocket(port(), TLS1_2_VERSION).open());
  EXPECT_EQ(status_of(http_get(port(), "/livez")), 0);
}

// What the server shows as its certificate's name.
std::string name_shown(std::uint16_t port) {
  const TlsSocket client(port);
  return client.peer_name();
}

TEST_F(TlsTest, AnotherCertificateCountsForNewConnectionsAndEndsNone) {
  start_with_tls();
  TlsSocket before(port());
  EXPECT_EQ(name_shown(port()), "localhost");
  const auto renewed = [&](const std::string& key_of) {
    server_->set({.transport = {.certificate_file = certificate_file(), .key_file = key_of}});
  };
  make_certificate("renewed", certificate_file(), key_file());
  renewed("/none.pem");
  renewed(certificate_file());  // no key in it
  before.send("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(status_of(before.read_until("ok\n")), 200);
  EXPECT_EQ(name_shown(port()), "localhost") << "what is wrong changes nothing";
  renewed(key_file());
  before.send("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(status_of(before.read_until("ok\n")), 200);
  EXPECT_EQ(name_shown(port()), "renewed");
}

TEST_F(TlsTest, NamesFilesThatCannotBeUsed) {
  const auto error = [&](const std::string& certificate, const std::string& key) {
    return error_of([&] {
      net::Server(*engine_,
                  {.transport = {.port = 0, .certificate_file = certificate, .key_file = key}});
    });
  };
  EXPECT_NE(error("/none.pem", key_file()).find("/none.pem"), std::string::npos);
  EXPECT_NE(error(certificate_file(), certificate_file()).find(certificate_file()),
            std::string::npos);
  EXPECT_NE(error(certificate_file(), "").find("--tls-key"), std::string::npos);
}

}  // namespace
}  // namespace fvlm
