// Speculative decoding without a draft model: the last answer of the same stream is the draft. The
// tokens that followed the current context in it are proposed, and the model verifies several of
// them in one decode step. Rejected tokens are dropped, so an answer stays the same and only comes
// sooner.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace fvlm {

class Draft {
 public:
  Draft() = default;
  explicit Draft(std::vector<std::int32_t> earlier) : earlier_(std::move(earlier)) {}

  // At most `most` draft tokens after `answer`: those that follow its last tokens in the earlier
  // answer. None if its last token does not occur there.
  std::vector<std::int32_t> propose(std::span<const std::int32_t> answer, std::int64_t most);
  // Takes back all but the first so many tokens of the last proposal: they cannot be right.
  void cut(std::int64_t count) { proposed_ = count; }
  // How many tokens of the last proposal the model accepted. The draft grows after acceptance and
  // shrinks after rejection, since verification costs time.
  void confirm(std::int64_t accepted);

 private:
  static constexpr std::int64_t kMost = 7;     // eight rows with the last token: a skinny GEMM
  static constexpr std::int64_t kContext = 4;  // tokens of context to match

  std::vector<std::int32_t> earlier_;
  std::int64_t next_ = 0;  // where the continuation is expected
  std::int64_t length_ = kMost;
  std::int64_t proposed_ = 0;
};

}  // namespace fvlm
