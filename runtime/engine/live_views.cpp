#include "runtime/engine/live_views.hpp"

#include <utility>

namespace fvlm {

void LiveViews::begin(std::uint64_t view) {
  const std::lock_guard lock(mutex_);
  views_.try_emplace(view);
}

void LiveViews::end(std::uint64_t view) {
  const std::lock_guard lock(mutex_);
  views_.erase(view);
}

std::int64_t LiveViews::count() const {
  const std::lock_guard lock(mutex_);
  return std::ssize(views_);
}

std::optional<LiveViews::Answer> LiveViews::last(std::uint64_t view,
                                                 const std::vector<std::int32_t>& prompt) const {
  const std::lock_guard lock(mutex_);
  const auto known = views_.find(view);
  if (known == views_.end() || !known->second || known->second->prompt != prompt) return {};
  return known->second;
}

void LiveViews::remember(std::uint64_t view, Answer answer) {
  const std::lock_guard lock(mutex_);
  const auto known = views_.find(view);
  if (known != views_.end()) known->second = std::move(answer);
}

}  // namespace fvlm
