// A conversation to be answered, as programs ask for it, whatever API they speak.
#pragma once

#include <cstdint>
#include <optional>
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
  std::string model{};  // empty: the one that is served
  std::vector<ChatTurn> turns{};
  Sampling sampling{};  // of the first answer; the seed of the n-th is larger by n
  std::int64_t answers = 1;
  std::optional<Grammar> grammar{};  // that answers follow
  bool may_call = false;             // an answer may be the call of a tool
  std::vector<std::string> stop{};   // an answer ends before any of these
  bool stream = false;
  bool include_usage = false;  // at the end of a stream
};

// What a server allows.
struct ChatLimits {
  std::int64_t max_new_tokens = 256;  // also of a request that names no limit
  std::int64_t vocabulary = 0;        // ids of tokens are below
};

}  // namespace fvlm::net
