// The transport with TLS 1.2 or later. Compiled as C++17, as websocketpp wants it.
#include <stdexcept>
#include <websocketpp/config/asio.hpp>

#include "net/http/transport.hpp"
#include "net/http/websocket_transport-inl.hpp"

namespace fvlm::net {
namespace {

using Context = asio::ssl::context;

std::shared_ptr<Context> make_context(const TransportOptions& options) {
  const auto check = [](const std::error_code& error, const std::string& file) {
    if (error) throw std::runtime_error(file + ": " + error.message());
  };
  auto context = std::make_shared<Context>(Context::tls_server);
  context->set_options(Context::default_workarounds | Context::no_tlsv1 | Context::no_tlsv1_1);
  std::error_code error;
  context->use_certificate_chain_file(options.certificate_file, error);
  check(error, options.certificate_file);
  context->use_private_key_file(options.key_file, Context::pem, error);
  check(error, options.key_file);
  return context;
}

}  // namespace

std::unique_ptr<Transport> listen_with_tls(const TransportOptions& options,
                                           TransportEvents& events) {
  using Tls = WebSocketTransport<websocketpp::config::asio_tls>;
  return std::make_unique<Tls>(
      options, events, [context = make_context(options)](Tls::Server& server) {
        server.set_tls_init_handler([context](const auto&) { return context; });
      });
}

}  // namespace fvlm::net
