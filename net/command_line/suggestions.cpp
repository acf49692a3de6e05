#include "net/command_line/suggestions.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace fvlm::net {
namespace {

std::string with_dashes(std::string_view word) {
  std::string result(word);
  std::replace(result.begin(), result.end(), '_', '-');
  return result;
}

// Row by row of the table of distances between beginnings; the last three rows are enough.
std::size_t distance(const std::string& from, const std::string& to) {
  std::vector<std::size_t> before(to.size() + 1);
  std::vector<std::size_t> above(to.size() + 1);
  std::vector<std::size_t> row(to.size() + 1);
  for (std::size_t j = 0; j <= to.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= from.size(); ++i) {
    before = std::exchange(above, row);
    row[0] = i;
    for (std::size_t j = 1; j <= to.size(); ++j) {
      const std::size_t replaced = above[j - 1] + (from[i - 1] == to[j - 1] ? 0 : 1);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, replaced});
      const bool exchanged = i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1];
      if (exchanged) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row.back();
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  constexpr std::size_t kLongest = 64;  // of what somebody may have meant to type
  const std::string typed = with_dashes(word);
  if (typed.empty() || typed.size() > kLongest) return {};
  std::string best;
  std::size_t least = std::max<std::size_t>(1, typed.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const std::string known = with_dashes(candidate);
    // What is left out at the end is no mistake in what is there.
    const std::size_t found = known.starts_with(typed) ? 0 : distance(typed, known);
    const bool shorter = found == least && candidate.size() < best.size();
    if (found < least || (shorter && found == 0)) {
      least = found;
      best = candidate;
    }
  }
  return best;
}

std::string suggestion(std::string_view word, const std::vector<std::string>& candidates) {
  const std::string meant = nearest(word, candidates);
  return meant.empty() ? "" : ": did you mean " + meant + "?";
}

}  // namespace fvlm::net
