#include "net/http/socket.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace fvlm::net {
namespace {

using Tcp = asio::ip::tcp::socket;
using Context = asio::ssl::context;

class PlainSocket final : public Socket {
 public:
  explicit PlainSocket(Tcp tcp) : tcp_(std::move(tcp)) {}

  void shake_hands(Done done) override {
    asio::post(tcp_.get_executor(), [done = std::move(done)] { done({}, 0); });
  }
  void read_some(asio::mutable_buffer to, Done done) override {
    tcp_.async_read_some(to, std::move(done));
  }
  void write_some(const std::vector<asio::const_buffer>& from, Done done) override {
    tcp_.async_write_some(from, std::move(done));
  }
  void say_farewell(Done done) override {
    error_code error;
    tcp_.shutdown(Tcp::shutdown_send, error);
    asio::post(tcp_.get_executor(), [done = std::move(done), error] { done(error, 0); });
  }
  Tcp& tcp() override { return tcp_; }

 private:
  Tcp tcp_;
};

class TlsSocket final : public Socket {
 public:
  using Stream = asio::ssl::stream<Tcp>;

  TlsSocket(Tcp tcp, TlsContext context, Stream::handshake_type side)
      : context_(std::move(context)), stream_(std::move(tcp), *context_), side_(side) {}

  // As a client: sends the host's name (SNI), and wants a certificate for it.
  void expect(const std::string& host) {
    error_code not_a_name;
    asio::ip::make_address(host, not_a_name);
    if (not_a_name) SSL_set_tlsext_host_name(stream_.native_handle(), host.c_str());
    stream_.set_verify_mode(asio::ssl::verify_peer);
    stream_.set_verify_callback(asio::ssl::host_name_verification(host));
  }

  void shake_hands(Done done) override {
    stream_.async_handshake(side_,
                            [done = std::move(done)](const error_code& error) { done(error, 0); });
  }
  void read_some(asio::mutable_buffer to, Done done) override {
    stream_.async_read_some(to, std::move(done));
  }
  void write_some(const std::vector<asio::const_buffer>& from, Done done) override {
    stream_.async_write_some(from, std::move(done));
  }
  void say_farewell(Done done) override {
    stream_.async_shutdown([done = std::move(done)](const error_code& error) { done(error, 0); });
  }
  Tcp& tcp() override { return stream_.next_layer(); }

 private:
  TlsContext context_;
  Stream stream_;
  Stream::handshake_type side_;
};

void check(const error_code& error, const std::string& file) {
  if (error) throw std::runtime_error(file + ": " + error.message());
}

// OpenSSL tells of a file that is not there only that it is no certificate.
void check_pem(const error_code& error, const std::string& flag, const std::string& file,
               const std::string& content) {
  if (!error) return;
  const std::ifstream opened(file);
  throw std::runtime_error(flag + " " + file + ": " +
                           (opened ? "this is not " + content + " in PEM: " + error.message()
                                   : "cannot be opened: " + std::string(std::strerror(errno))));
}

}  // namespace

TlsContext server_tls(const std::string& certificate_file, const std::string& key_file) {
  auto context = std::make_shared<Context>(Context::tls_server);
  context->set_options(Context::default_workarounds | Context::no_tlsv1 | Context::no_tlsv1_1);
  error_code error;
  context->use_certificate_chain_file(certificate_file, error);
  check_pem(error, "--tls-cert", certificate_file, "a certificate chain");
  context->use_private_key_file(key_file, Context::pem, error);
  check_pem(error, "--tls-key", key_file, "the certificate's private key");
  return context;
}

TlsContext client_tls(const std::string& ca_file) {
  auto context = std::make_shared<Context>(Context::tls_client);
  context->set_options(Context::default_workarounds | Context::no_tlsv1 | Context::no_tlsv1_1);
  error_code error;
  if (ca_file.empty()) {
    context->set_default_verify_paths(error);
    check(error, "the system's certificates");
  } else {
    context->load_verify_file(ca_file, error);
    check(error, ca_file);
  }
  return context;
}

std::unique_ptr<Socket> accepted_socket(Tcp tcp, const TlsContext& tls) {
  if (tls == nullptr) return std::make_unique<PlainSocket>(std::move(tcp));
  return std::make_unique<TlsSocket>(std::move(tcp), tls, TlsSocket::Stream::server);
}

std::unique_ptr<Socket> connected_socket(Tcp tcp, const TlsContext& tls, const std::string& host) {
  if (tls == nullptr) return std::make_unique<PlainSocket>(std::move(tcp));
  auto socket = std::make_unique<TlsSocket>(std::move(tcp), tls, TlsSocket::Stream::client);
  socket->expect(host);
  return socket;
}

}  // namespace fvlm::net
