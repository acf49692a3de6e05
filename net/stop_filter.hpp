// Ends a text, which comes in pieces, before the first of some words.
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
  explicit StopFilter(std::vector<std::string> words) : words_(std::move(words)) {}

  // What can be said now: not what might yet become one of the words.
  std::string add(std::string_view piece) {
    if (stopped_) return {};
    held_ += piece;
    std::size_t end = held_.size();
    for (const std::string& word : words_) {
      if (const std::size_t at = held_.find(word); at != held_.npos) {
        stopped_ = true;
        end = std::min(end, at);
      }
    }
    if (!stopped_) end -= longest_beginning();
    std::string said = held_.substr(0, end);
    held_.erase(0, end);
    return said;
  }
  // The rest, at the end of the text.
  std::string finish() { return stopped_ ? std::string() : std::exchange(held_, {}); }
  bool stopped() const { return stopped_; }

 private:
  // How many bytes at the end of what is held begin one of the words.
  std::size_t longest_beginning() const {
    std::size_t longest = 0;
    for (const std::string& word : words_) {
      for (std::size_t size = std::min(word.size() - 1, held_.size()); size > longest; --size) {
        if (std::string_view(held_).ends_with(std::string_view(word).substr(0, size))) {
          longest = size;
        }
      }
    }
    return longest;
  }

  std::vector<std::string> words_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace fvlm::net
