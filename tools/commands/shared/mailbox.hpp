// What the engine's thread leaves of an answer for the program's. The request's callbacks share its
// ownership, so it outlives whichever of the two is done first.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fvlm/engine.hpp"
#include "net/service/stop_filter.hpp"

namespace fvlm {

class Mailbox {
 public:
  // `stop`: strings before which the answer is cut.
  explicit Mailbox(std::vector<std::string> stop);

  // Of the engine's thread. Each calls notify_event().
  void add(std::string_view text);
  void finish(const Result& result);

  // Whether the answer is at its end, whatever follows.
  bool stopped() const;

  // Moves new text to the end of `text`; returns the result once there is one.
  std::optional<Result> take(std::string& text);

 private:
  void say(const std::string& text);

  mutable std::mutex mutex_;
  net::StopFilter filter_;
  std::string text_;  // not taken yet
  std::string said_;  // all of it
  std::optional<Result> result_;
};

}  // namespace fvlm
