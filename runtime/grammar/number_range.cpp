#include "runtime/grammar/number_range.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
#include <tuple>
#include <utility>

namespace fvlm {
namespace {

constexpr std::size_t kIntegerDigits = 18;
constexpr std::size_t kNumberDigits = 15;

CharacterSet digit_set(char digit) {
  return CharacterSet::of(static_cast<char32_t>(digit));
}

// Adds the numbers without a sign between two bounds that are not negative, digit by digit. A
// number is tight with a bound as long as its digits so far are the bound's.
class Magnitudes {
 public:
  Magnitudes(CharacterNfa& nfa, const NumberBound& low, const std::optional<NumberBound>& high,
             NumberKind kind)
      : nfa_(nfa), low_(low), high_(high), kind_(kind) {}

  void add(CharacterNfa::State from) {
    const std::size_t longest = kind_ == NumberKind::kInteger ? kIntegerDigits : kNumberDigits;
    for (length_ = 1; length_ <= longest; ++length_) {
      if (low_.integer.size() > length_) continue;
      if (high_ && high_->integer.size() < length_) break;
      states_.clear();
      fraction_digits_ = kind_ == NumberKind::kInteger ? 0 : longest - length_;
      const Tight tight{low_.integer.size() == length_, high_ && high_->integer.size() == length_};
      add_digits(from, 0, tight);
    }
  }

 private:
  struct Tight {
    bool low;
    bool high;
  };

  // Digits from `position` on, which counts those before the point, then those after it.
  void add_digits(CharacterNfa::State from, std::size_t position, Tight tight) {
    const bool whole = position < length_;
    if (position >= length_ && accepts(position, tight)) {
      if (position != length_ || kind_ == NumberKind::kInteger) {
        nfa_.add_empty(from, CharacterNfa::kEnd);
      }
    }
    if (position == length_ + fraction_digits_) return;
    const char first = whole && position == 0 && length_ > 1 ? '1' : '0';
    for (char digit = first; digit <= '9'; ++digit) {
      if (tight.low && digit < digit_of(low_, position)) continue;
      if (tight.high && digit > digit_of(*high_, position)) continue;
      const Tight next{tight.low && digit == digit_of(low_, position),
                       tight.high && digit == digit_of(*high_, position)};
      const auto [state, is_new] = state_of(position + 1, next);
      nfa_.add_edge(from, digit_set(digit), state);
      if (is_new) add_after_digit(state, position + 1, next);
    }
  }

  void add_after_digit(CharacterNfa::State state, std::size_t position, Tight tight) {
    if (position != length_ || kind_ == NumberKind::kInteger) {
      add_digits(state, position, tight);
      return;
    }
    if (accepts(position, tight)) nfa_.add_empty(state, CharacterNfa::kEnd);
    if (fraction_digits_ == 0) return;
    const CharacterNfa::State point = nfa_.add_state();
    nfa_.add_edge(state, digit_set('.'), point);
    add_digits(point, position, tight);
  }

  char digit_of(const NumberBound& bound, std::size_t position) const {
    if (position < length_) return bound.integer[position];
    position -= length_;
    return position < bound.fraction.size() ? bound.fraction[position] : '0';
  }

  // Whether a number that ends here is within the bounds that it is tight with.
  bool accepts(std::size_t position, Tight tight) const {
    const auto more = [&](const NumberBound& bound) {
      return bound.fraction.size() > position - length_;
    };
    if (tight.low && (more(low_) || !low_.inclusive)) return false;
    return !tight.high || more(*high_) || high_->inclusive;
  }

  std::pair<CharacterNfa::State, bool> state_of(std::size_t position, Tight tight) {
    const auto [entry, is_new] = states_.try_emplace({position, tight.low, tight.high});
    if (is_new) entry->second = nfa_.add_state();
    return {entry->second, is_new};
  }

  CharacterNfa& nfa_;
  const NumberBound& low_;
  const std::optional<NumberBound>& high_;
  NumberKind kind_;
  std::size_t length_ = 0;  // digits before the point
  std::size_t fraction_digits_ = 0;
  std::map<std::tuple<std::size_t, bool, bool>, CharacterNfa::State> states_;
};

}  // namespace

NumberBound::NumberBound(std::string_view decimal, bool is_inclusive) : inclusive(is_inclusive) {
  negative = decimal.starts_with('-');
  if (negative) decimal.remove_prefix(1);
  const std::size_t point = std::min(decimal.find('.'), decimal.size());
  integer = decimal.substr(0, point);
  integer.erase(0, std::min(integer.find_first_not_of('0'), integer.size()));
  if (integer.empty()) integer = "0";
  if (point < decimal.size()) fraction = decimal.substr(point + 1);
  fraction.erase(fraction.find_last_not_of('0') + 1);
  negative = negative && !is_zero();
}

CharacterDfa number_range(const NumberRange& range, NumberKind kind) {
  CharacterNfa nfa;
  const std::optional<NumberBound> none;
  const auto& [low, high] = range;
  if (!high || !high->negative) {
    const NumberBound zero("0", true);
    Magnitudes(nfa, low && !low->negative ? *low : zero, high, kind).add(CharacterNfa::kStart);
  }
  if (!low || low->negative) {
    const CharacterNfa::State minus = nfa.add_state();
    nfa.add_edge(CharacterNfa::kStart, digit_set('-'), minus);
    const NumberBound zero("0", false);
    Magnitudes(nfa, high && high->negative ? *high : zero, low, kind).add(minus);
  }
  return determinise(nfa);
}

CharacterDfa multiples_of(std::uint32_t divisor) {
  // State 0 is the start, 1 follows the sign, 2 + r has read digits whose remainder is r.
  CharacterDfa dfa;
  dfa.nodes.resize(divisor + std::size_t{2});
  const auto add_digits = [&](std::size_t state, std::uint64_t remainder) {
    for (std::uint64_t digit = 0; digit < 10; ++digit) {
      const auto next = static_cast<CharacterDfa::State>(2 + (10 * remainder + digit) % divisor);
      dfa.nodes[state].edges.push_back({digit_set(static_cast<char>('0' + digit)), next});
    }
  };
  add_digits(0, 0);
  dfa.nodes[0].edges.push_back({digit_set('-'), 1});
  add_digits(1, 0);
  for (std::uint32_t r = 0; r < divisor; ++r) add_digits(2 + std::size_t{r}, r);
  dfa.nodes[2].accepts = true;
  return dfa;
}

}  // namespace fvlm
