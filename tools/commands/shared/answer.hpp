// One request to the engine, from a program that shows the answer as it is made and that Ctrl-C may
// interrupt. The engine's thread hands text over; the calling thread writes it, so a slow or
// stalled reader of standard output holds up neither the engine nor Ctrl-C.
#pragma once

#include <string>
#include <vector>

#include "fvlm/engine.hpp"

namespace fvlm {

struct Reply {
  Result result;
  int signal = 0;  // SIGINT or SIGTERM if one came; the answer was then cut short
};

enum class Show : bool { kNothing, kText };

// Submits the request and waits for its end, or until its text has one of the `stop` strings,
// before which it is cut. Show::kText: writes the text to standard output while it is made, and a
// newline after it. Throws Error if the request is refused or fails.
Reply ask(Engine& engine, Request request, const std::vector<std::string>& stop, Show show);

}  // namespace fvlm
