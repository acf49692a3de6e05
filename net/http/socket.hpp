// A TCP connection, plain or under TLS, as one type: what uses it is compiled once, not for each of
// Boost.Asio's. Operations end on the event loop, never inside the call; at most one read and one
// write may be underway.
#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/system/error_code.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace fvlm::net {

namespace asio = boost::asio;
using boost::system::error_code;

class Socket {
 public:
  using Done = std::function<void(const error_code& error, std::size_t bytes)>;

  virtual ~Socket() = default;
  // That of TLS. Once, first of all.
  virtual void shake_hands(Done done) = 0;
  virtual void read_some(asio::mutable_buffer to, Done done) = 0;
  virtual void write_some(const std::vector<asio::const_buffer>& from, Done done) = 0;
  // Tells the other side that nothing more comes. The last write, beside which a read goes on.
  virtual void say_farewell(Done done) = 0;
  virtual asio::ip::tcp::socket& tcp() = 0;
};

using TlsContext = std::shared_ptr<asio::ssl::context>;

// TLS 1.2 or later, from files in PEM. Throws std::runtime_error, naming the file, if one cannot be
// used.
TlsContext server_tls(const std::string& certificate_file, const std::string& key_file);
// Trusts those in `ca_file`, or whom the system trusts if that is empty.
TlsContext client_tls(const std::string& ca_file);

// A server's, of a connection that was accepted; plain if there is no context.
std::unique_ptr<Socket> accepted_socket(asio::ip::tcp::socket tcp, const TlsContext& tls);
// A client's, connected to `host`, whose certificate must name it; plain if there is no context.
std::unique_ptr<Socket> connected_socket(asio::ip::tcp::socket tcp, const TlsContext& tls,
                                         const std::string& host);

}  // namespace fvlm::net
