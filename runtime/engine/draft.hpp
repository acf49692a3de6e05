// Speculation from an earlier answer: the words that a camera's last caption went on with are
// proposed as the next words of this one, and the model checks several of them in one pass. What
// the model would not have said itself is thrown away, so an answer is only ever sooner.
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

  // At most `most` tokens that may follow `answer`: those that follow its last tokens in the
  // earlier answer. None if its last token does not stand there.
  std::vector<std::int32_t> propose(std::span<const std::int32_t> answer, std::int64_t most);
  // How many of the last proposal the model confirmed. More are proposed after a success, fewer
  // after a failure, since checking costs time.
  void confirm(std::int64_t accepted);

 private:
  static constexpr std::int64_t kMost = 7;     // with the token before them eight rows of a pass
  static constexpr std::int64_t kContext = 4;  // tokens that say where the answers agree

  std::vector<std::int32_t> earlier_;
  std::int64_t next_ = 0;  // where the continuation is expected
  std::int64_t length_ = kMost;
  std::int64_t proposed_ = 0;
};

}  // namespace fvlm
