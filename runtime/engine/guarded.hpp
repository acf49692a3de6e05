// Parts of the work on one request: what goes wrong in them ends that request and no other.
#pragma once

#include <exception>

#include "fvlm/models/module.hpp"
#include "runtime/engine/generation.hpp"

namespace fvlm {

inline void fail(Generation& g, const std::exception& error) {
  g.error = error.what();
  g.end(Outcome::kFailed);
}

template <class Work>
void guarded(Generation& g, const Work& part) {
  try {
    stop_if_requested(g.stop.get_token());
    part();
  } catch (const Stopped&) {
    g.end(Outcome::kCancelled);
  } catch (const std::exception& error) {
    fail(g, error);
  }
}

}  // namespace fvlm
