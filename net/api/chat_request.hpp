// What is to be answered, as programs ask for it, whatever API they speak.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fvlm/engine.hpp"
#include "net/api/answer_writer.hpp"

namespace fvlm::net {

// More than any conversation that fits into a model's context has.
inline constexpr std::size_t kMostMessages = 8192;
inline constexpr std::size_t kMostParts = 1024;  // of a message
inline constexpr std::size_t kMostCalls = 128;   // of tools, in a message

struct ChatTurn {
  Turn::Role role = Turn::Role::kUser;
  std::string text{};
  std::vector<std::string> images{};        // files as they were sent
  std::vector<std::size_t> image_places{};  // as Turn has them
};

// A conversation or raw prompts; with neither there is nothing to answer.
struct ChatRequest {
  std::string model{};  // empty: the one that is served
  std::vector<ChatTurn> turns{};
  std::vector<RawPrompt> raw{};
  Sampling sampling{};               // of the first answer; the seed of the n-th is larger by n
  std::int64_t answers = 1;          // to each prompt; those to the first one come first
  std::optional<Grammar> grammar{};  // that answers follow
  bool may_call = false;             // an answer may be the call of a tool
  std::vector<std::string> stop{};   // an answer ends before any of these
  bool only_prompt = false;          // is read: answers have no token
  bool stream = false;
};

// It, and what writes the response.
struct ApiRequest {
  ChatRequest chat{};
  std::shared_ptr<AnswerWriter> writer{};
};

// What a server allows.
struct ChatLimits {
  std::int64_t max_new_tokens = 256;  // also of a request that names no limit
  std::int64_t vocabulary = 0;        // ids of tokens are below
  std::int64_t context_tokens = 0;
  std::int64_t tokens_of_image = 1;
};

}  // namespace fvlm::net
