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
  explicit AnswerFilter(std::vector<std::string> stop) : stop_(std::move(stop)) {}

  // The next token, before the text that is complete with it.
  void add(TokenLogprobs token) { waiting_.push_back(std::move(token)); }
  Piece add(std::string_view text) { return take(stop_.add(text)); }
  // The rest, at the end of the answer.
  Piece finish() {
    Piece piece = take(stop_.finish());
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
};

}  // namespace fvlm::net
