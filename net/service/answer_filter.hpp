// What a client sees of an answer: its text before the first stop string, and the log probabilities
// of the tokens whose text begins there.
#pragma once

#include <cstddef>
#include <deque>
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
  // With `may_call`, what may be the call of a tool is held back until the end.
  explicit AnswerFilter(std::vector<std::string> stop, bool may_call = false)
      : stop_(std::move(stop)), may_call_(may_call) {}

  // The next token, before the text that is complete with it.
  void add(TokenLogprobs token) { waiting_.push_back(std::move(token)); }
  Piece add(std::string_view text) { return hold(take(stop_.add(text))); }
  // The rest, at the end of the answer; if it is a call, all of it.
  Piece finish() {
    Piece piece = take(stop_.finish());
    if (!stopped()) {
      for (TokenLogprobs& token : waiting_) piece.logprobs.push_back(std::move(token));
      waiting_.clear();
    }
    join(std::move(piece));
    return std::exchange(held_, {});
  }
  bool stopped() const { return stop_.stopped(); }

 private:
  void join(Piece piece) {
    held_.text += piece.text;
    for (TokenLogprobs& token : piece.logprobs) held_.logprobs.push_back(std::move(token));
  }

  Piece hold(Piece piece) {
    if (!may_call_) return piece;
    join(std::move(piece));
    may_call_ = may_be_tool_call(held_.text);
    return may_call_ ? Piece() : std::exchange(held_, {});
  }

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
  Piece held_;
};

}  // namespace fvlm::net
