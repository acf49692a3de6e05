// What comes of a request, and how it is written in the API that the request came in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "fvlm/engine.hpp"
#include "net/api/api_error.hpp"
#include "net/api/tools.hpp"

namespace fvlm::net {

// Common to all parts of one response.
struct AnswerHead {
  std::string id{};  // unique; APIs put their own prefix before it
  std::string model{};
  std::int64_t created = 0;  // seconds since 1970
};

// By itself, at a limit of tokens, or as a whole call of a tool.
enum class AnswerEnd : std::uint8_t { kStop, kLength, kToolCall };

// One of the answers to a request, whole.
struct AnswerChoice {
  std::string_view text{};
  std::span<const TokenLogprobs> logprobs{};  // none if they were streamed
  AnswerEnd end = AnswerEnd::kStop;
  const ToolCall* call = nullptr;  // in place of the text; not whole if it ended at the limit
};

// Of all answers to one request.
struct AnswerUsage {
  std::int64_t prompt_tokens = 0;
  std::int64_t cached_tokens = 0;  // of these
  std::int64_t new_tokens = 0;
  // Of the answer that took longest, in seconds: images and prompt, tokens, all.
  double prompt_s = 0;
  double decode_s = 0;
  double total_s = 0;
};

// Writes one response. A stream is first(), then for each answer its pieces and end_of(), in any
// order of the answers, then last(); or, instead of what is left of that, failure().
class AnswerWriter {
 public:
  AnswerWriter() = default;
  AnswerWriter(const AnswerWriter&) = delete;
  AnswerWriter& operator=(const AnswerWriter&) = delete;
  virtual ~AnswerWriter() = default;

  // Before anything else.
  void set_head(AnswerHead head) { head_ = std::move(head); }

  virtual std::string whole(std::span<const AnswerChoice> choices, const AnswerUsage& usage) = 0;

  virtual const char* stream_type() const { return "text/event-stream; charset=utf-8"; }
  virtual std::string first(std::size_t answers) = 0;
  virtual std::string piece(std::size_t index, std::string_view text,
                            std::span<const TokenLogprobs> logprobs) = 0;
  virtual std::string end_of(std::size_t index, const AnswerChoice& choice) = 0;
  virtual std::string last(const AnswerUsage& usage) = 0;
  virtual std::string failure(const ApiError& error) = 0;

 protected:
  const AnswerHead& head() const { return head_; }

 private:
  AnswerHead head_;
};

}  // namespace fvlm::net
