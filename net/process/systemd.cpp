#include "net/process/systemd.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace fvlm::systemd {

void notify(std::string_view state) {
  const char* name = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t size = name == nullptr ? 0 : std::strlen(name);
  if (size == 0 || size >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, name, size);
  if (*name == '@') address.sun_path[0] = '\0';  // a name outside of the file system
  const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return;
  // Nothing is to be done if systemd is not listening.
  static_cast<void>(::sendto(descriptor, state.data(), state.size(), MSG_NOSIGNAL,
                             reinterpret_cast<const sockaddr*>(&address),
                             static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + size)));
  ::close(descriptor);
}

std::chrono::milliseconds watchdog_interval() {
  const char* text = std::getenv("WATCHDOG_USEC");
  std::int64_t microseconds = 0;
  if (text == nullptr ||
      std::from_chars(text, text + std::strlen(text), microseconds).ec != std::errc()) {
    return std::chrono::milliseconds(-1);
  }
  return std::chrono::milliseconds(microseconds / 1000 / 3);
}

}  // namespace fvlm::systemd
