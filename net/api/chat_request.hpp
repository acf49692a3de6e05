// A conversation to be answered, as programs ask for it, whatever API they speak.
#pragma once

#include <string>
#include <vector>

#include "fvlm/engine.hpp"

namespace fvlm::net {

struct ChatTurn {
  Turn::Role role = Turn::Role::kUser;
  std::string text{};
  std::vector<std::string> images{};  // files as they were sent
};

struct ChatRequest {
  std::string model{};
  std::vector<ChatTurn> turns{};
  Sampling sampling{};
  std::vector<std::string> stop{};  // the answer ends before any of these
  bool stream = false;
  bool include_usage = false;  // at the end of a stream
};

}  // namespace fvlm::net
