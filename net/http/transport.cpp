// The transport without TLS. Compiled as C++17, as websocketpp wants it.
#include "net/http/transport.hpp"

#include <websocketpp/config/asio_no_tls.hpp>

#include "net/http/websocket_transport-inl.hpp"

namespace fvlm::net {

std::unique_ptr<Transport> listen_with_tls(const TransportOptions& options,
                                           TransportEvents& events);

std::unique_ptr<Transport> Transport::listen(const TransportOptions& options,
                                             TransportEvents& events) {
  if (!options.certificate_file.empty()) return listen_with_tls(options, events);
  using Plain = WebSocketTransport<websocketpp::config::asio>;
  return std::make_unique<Plain>(options, events, [](Plain::Server&) {});
}

}  // namespace fvlm::net
