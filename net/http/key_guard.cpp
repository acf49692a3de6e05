#include "net/http/key_guard.hpp"

#include <algorithm>
#include <functional>

#include "net/protocol/base64.hpp"

namespace fvlm::net {
namespace {

constexpr std::size_t kMostNames = 4096;
constexpr std::chrono::seconds kLongestWait{60};
constexpr std::chrono::minutes kMemory{15};

// What an Authorization header gives as the key; empty if it is of another scheme.
std::string key_in(std::string_view authorization) {
  const std::size_t space = authorization.find(' ');
  if (space == authorization.npos) return {};
  std::string scheme(authorization.substr(0, space));
  std::transform(scheme.begin(), scheme.end(), scheme.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const std::string_view credentials = authorization.substr(space + 1);
  if (scheme == "bearer") return std::string(credentials);
  if (scheme != "basic") return {};
  const auto name_and_password = decode_base64(credentials);
  if (!name_and_password) return {};
  const std::size_t colon = name_and_password->find(':');
  return colon == std::string::npos ? std::string() : name_and_password->substr(colon + 1);
}

}  // namespace

void KeyGuard::set(std::vector<ApiKey> keys, std::size_t free_tries) {
  keys_ = std::move(keys);
  free_tries_ = free_tries;
  tries_.clear();  // what was wrong may be right now
}

KeyGuard::Verdict KeyGuard::check(const std::string& client, std::string_view authorization,
                                  Clock::time_point now) {
  using Kind = Verdict::Kind;
  if (authorization.empty()) return {.kind = Kind::kMissing};  // as a browser's first request is
  const std::string given =
      client + ' ' + std::to_string(std::hash<std::string_view>{}(authorization));
  const auto wait = [&] { return std::max(left(client, now), left(given, now)); };
  if (wait().count() > 0) return {.kind = Kind::kWait, .wait = wait()};
  if (const ApiKey* key = find_key(keys_, key_in(authorization))) {
    return {.kind = Kind::kRight, .name = key->name};
  }
  if (add(given, now) == 0) add(client, now);
  return {.kind = Kind::kWrong, .wait = wait()};
}

std::size_t KeyGuard::add(const std::string& name, Clock::time_point now) {
  if (tries_.size() >= kMostNames && !tries_.contains(name)) make_room(now);
  Tries& tries = tries_[name];
  if (now - tries.last > kMemory) tries.count = 0;
  tries.last = now;
  if (free_tries_ != 0 && tries.count >= free_tries_) {
    const std::size_t doublings = std::min<std::size_t>(tries.count - free_tries_, 6);
    tries.until = now + std::min(std::chrono::seconds(1 << doublings), kLongestWait);
  }
  return tries.count++;
}

std::chrono::seconds KeyGuard::left(const std::string& name, Clock::time_point now) const {
  const auto tries = tries_.find(name);
  if (tries == tries_.end() || tries->second.until <= now) return std::chrono::seconds(0);
  return std::chrono::ceil<std::chrono::seconds>(tries->second.until - now);
}

// Evicts the entries that would expire soonest.
void KeyGuard::make_room(Clock::time_point now) {
  std::erase_if(tries_, [&](const auto& each) { return now - each.second.last > kMemory; });
  if (tries_.size() < kMostNames) return;
  tries_.erase(std::min_element(
      tries_.begin(), tries_.end(),
      [](const auto& left, const auto& right) { return left.second.last < right.second.last; }));
}

}  // namespace fvlm::net
