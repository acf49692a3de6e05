// The state of each live view between its requests: the last answer, its prompt, and a thumbnail of
// its image.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "fvlm/engine.hpp"
#include "fvlm/image.hpp"

namespace fvlm {

// Safe from several threads.
class LiveViews {
 public:
  struct Answer {
    std::vector<std::int32_t> prompt;  // ids
    std::string grammar{};             // its source, if there was one
    std::vector<std::int32_t> tokens;
    std::string text;
    Outcome outcome = Outcome::kStop;
    std::optional<Thumbnail> seen{};  // if the prompt had one image
  };

  // A view's first request, or another one.
  void begin(std::uint64_t view);
  // Forgets a view; requests of it that still run leave nothing behind.
  void end(std::uint64_t view);
  std::int64_t count() const;

  // The last answer to a prompt.
  std::optional<Answer> last(std::uint64_t view, const std::vector<std::int32_t>& prompt) const;
  void remember(std::uint64_t view, Answer answer);

 private:
  mutable std::mutex mutex_;
  std::map<std::uint64_t, std::optional<Answer>> views_;
};

}  // namespace fvlm
