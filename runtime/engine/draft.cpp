#include "runtime/engine/draft.hpp"

#include <algorithm>
#include <cstdlib>

namespace fvlm {

std::vector<std::int32_t> Draft::propose(std::span<const std::int32_t> answer, std::int64_t most) {
  proposed_ = 0;
  // The place after the longest match; of several, the one nearest to the expected.
  std::int64_t best_run = 0;
  std::int64_t best = 0;
  for (std::int64_t end = 1; end <= std::ssize(earlier_); ++end) {
    const std::int64_t longest = std::min({kContext, end, std::ssize(answer)});
    std::int64_t run = 0;
    while (run < longest && earlier_[static_cast<std::size_t>(end - 1 - run)] ==
                                answer[answer.size() - 1 - static_cast<std::size_t>(run)]) {
      ++run;
    }
    const bool nearer = std::abs(end - next_) < std::abs(best - next_);
    if (run > best_run || (run > 0 && run == best_run && nearer)) {
      best_run = run;
      best = end;
    }
  }
  if (best_run == 0) return {};
  next_ = best;
  proposed_ = std::min({most, length_, std::ssize(earlier_) - best});
  const auto first = earlier_.begin() + best;
  return {first, first + proposed_};
}

void Draft::confirm(std::int64_t accepted) {
  next_ += accepted + 1;  // the token after the accepted ones is the model's own
  if (proposed_ == 0) return;
  length_ = accepted == proposed_ ? std::min(kMost, 2 * length_ + 1)
                                  : std::max<std::int64_t>(accepted, 1);
}

}  // namespace fvlm
