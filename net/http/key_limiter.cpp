#include "net/http/key_limiter.hpp"

#include <algorithm>
#include <cmath>

namespace fvlm::net {
void KeyLimiter::set(const std::vector<ApiKey>& keys) {
  for (auto& [name, state] : states_) {
    if (state.limits.requests_per_minute == 0) state.requests = State().requests;
    state.limits = {};
  }
  for (const ApiKey& key : keys) states_[key.name].limits = key.limits;
}

std::chrono::seconds KeyLimiter::take_request(const std::string& key, Clock::time_point now) {
  const auto known = states_.find(key);
  if (known == states_.end() || known->second.limits.requests_per_minute == 0) return {};
  State& state = known->second;
  const auto most = static_cast<double>(state.limits.requests_per_minute);
  const double per_second = most / 60;
  const double passed = std::max(0.0, std::chrono::duration<double>(now - state.filled).count());
  state.requests = std::min(most, state.requests + passed * per_second);
  state.filled = now;
  if (state.requests >= 1) {
    state.requests -= 1;
    return {};
  }
  return std::chrono::seconds(std::lround(std::ceil((1 - state.requests) / per_second)));
}

bool KeyLimiter::has_stream(const std::string& key) const {
  const auto known = states_.find(key);
  if (known == states_.end()) return true;
  const auto& [limits, held, requests, filled] = known->second;
  return limits.streams == 0 || held.streams < limits.streams;
}

std::optional<KeyLimiter::Lease> KeyLimiter::take(const std::string& key,
                                                  std::size_t KeyLimits::*what) {
  const auto known = states_.find(key);
  if (known == states_.end()) return Lease();
  State& state = known->second;
  const std::size_t limit = state.limits.*what;
  if (limit != 0 && state.held.*what >= limit) return std::nullopt;
  ++(state.held.*what);
  return Lease(nullptr, [&state, what](void*) { --(state.held.*what); });
}

}  // namespace fvlm::net
