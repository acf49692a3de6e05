// What a client sees of an answer: its text before the first stop string, and the log probabilities
// of the tokens whose text begins there.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fvlm/engine.hpp"
#include "net/api/tools.hpp"
#include "net/service/stop_filter.hpp"

namespace fvlm::net {

class AnswerFilter {
 public:
  // What can be sent now.
  struct Piece {
    std::string text{};
    std::vector<TokenLogprobs> logprobs{};

    bool empty() const { return text.empty() && logprobs.empty(); }
  };

  AnswerFilter() = default;
  // With `may_call`, what may be the call of a tool is held back until the end. Stop strings are of
  // texts: a call has none.
  explicit AnswerFilter(std::vector<std::string> stop, bool may_call = false)
      : stop_(std::move(stop)), may_call_(may_call) {}

  // The next token, before the text that is complete with it.
  void add(TokenLogprobs token) { waiting_.push_back(std::move(token)); }
  Piece add(std::string_view text) {
    if (!may_call_) return take(stop_.add(text));
    held_ += text;
    may_call_ = may_be_tool_call(held_);
    return may_call_ ? Piece() : take(stop_.add(std::exchange(held_, {})));
  }
  // At the end of the answer, before finish(): the call that it is, instead of a text. `cut`: it
  // did not end by itself.
  std::optional<ToolCall> take_call(bool cut) {
    auto call = held_.empty() ? std::nullopt : read_tool_call(held_, cut);
    if (call) held_.clear();
    return call;
  }
  // The rest, at the end of the answer. Of a call the log probabilities alone.
  Piece finish() {
    std::string text = stop_.add(std::exchange(held_, {}));
    text += stop_.finish();
    Piece piece = take(std::move(text));
    if (stopped()) return piece;
    for (TokenLogprobs& token : waiting_) piece.logprobs.push_back(std::move(token));
    waiting_.clear();
    return piece;
  }
  bool stopped() const { return stop_.stopped(); }

 private:
  Piece take(std::string text) {
    Piece piece{.text = std::move(text)};
    said_ += piece.text.size();
    while (!waiting_.empty() && waiting_.front().begin < said_) {
      piece.logprobs.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
    return piece;
  }

  StopFilter stop_;
  std::deque<TokenLogprobs> waiting_;
  std::size_t said_ = 0;  // bytes
  bool may_call_ = false;
  std::string held_;  // what may be a call
};

}  // namespace fvlm::net
