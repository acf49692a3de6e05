// systemd's notification protocol (sd_notify(3), without its library): datagrams to the socket that
// $NOTIFY_SOCKET names. No effect where there is none.
#pragma once

#include <chrono>
#include <string_view>

namespace fvlm::systemd {

// E.g. "READY=1".
void notify(std::string_view state);

// The interval of "WATCHDOG=1", a third of systemd's watchdog timeout; negative if there is none.
std::chrono::milliseconds watchdog_interval();

}  // namespace fvlm::systemd
