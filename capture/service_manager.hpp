// Tells systemd how we are, if it started us (sd_notify(3)): a datagram to a socket it names.
#pragma once

#include <string>

namespace fvlm::capture {

// "READY=1", "WATCHDOG=1" ... Nothing happens without a service manager.
void notify_service_manager(const std::string& state);

}  // namespace fvlm::capture
