// Ends a streamed text before the first of some stop strings. Each byte is processed once, whatever
// the strings are (Knuth, Morris and Pratt, "Fast pattern matching in strings", 1977), and how the
// text is cut into chunks makes no difference.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fvlm::net {

class StopFilter {
 public:
  StopFilter() = default;
  // No stop string may be empty.
  explicit StopFilter(std::vector<std::string> words) {
    for (std::string& word : words) words_.emplace_back(std::move(word));
  }

  // The text that can be sent now: without an end that may become a stop string.
  std::string add(std::string_view piece) {
    if (stopped_) return {};
    for (std::size_t i = 0; i < piece.size() && !stopped_; ++i) take(piece[i]);
    std::string said = held_.substr(0, held_.size() - unsaid_);
    held_.erase(0, said.size());
    return said;
  }
  // The rest, at the end of the text.
  std::string finish() { return stopped_ ? std::string() : std::exchange(held_, {}); }
  bool stopped() const { return stopped_; }

 private:
  void take(char c) {
    held_ += c;
    unsaid_ = 0;
    std::size_t found = 0;
    for (Word& word : words_) {
      word.advance(c);
      unsaid_ = std::max(unsaid_, word.matched());
      if (word.is_whole()) found = std::max(found, word.matched());
    }
    stopped_ = found > 0;
    if (stopped_) unsaid_ = found;
  }

  class Word {
   public:
    explicit Word(std::string text) : text_(std::move(text)), borders_(text_.size(), 0) {
      for (std::size_t i = 1; i < text_.size(); ++i) {
        borders_[i] = longer(borders_[i - 1], text_[i]);
      }
    }
    // Takes the text's next byte.
    void advance(char c) { matched_ = longer(matched_, c); }
    // How many bytes at the end of the text begin the stop string.
    std::size_t matched() const { return matched_; }
    bool is_whole() const { return matched_ == text_.size(); }

   private:
    // How many bytes match after `c`, when `matched` did before it.
    std::size_t longer(std::size_t matched, char c) const {
      while (matched > 0 && text_[matched] != c) matched = borders_[matched - 1];
      return text_[matched] == c ? matched + 1 : 0;
    }

    std::string text_;
    // The failure function: by the length of a prefix, less one, its longest proper prefix that is
    // also its suffix.
    std::vector<std::size_t> borders_;
    std::size_t matched_ = 0;
  };

  std::vector<Word> words_;
  std::string held_;
  std::size_t unsaid_ = 0;  // bytes at its end that are, or may become, a stop string
  bool stopped_ = false;
};

}  // namespace fvlm::net
