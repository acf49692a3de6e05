// What a service tells systemd (sd_notify(3), without its library): datagrams to the socket that
// $NOTIFY_SOCKET names. Elsewhere nothing happens.
#pragma once

#include <chrono>
#include <string_view>

namespace fvlm::systemd {

// E.g. "READY=1".
void notify(std::string_view state);

// How often to say "WATCHDOG=1", a third of what systemd waits for; negative if it does not.
std::chrono::milliseconds watchdog_interval();

}  // namespace fvlm::systemd
