#include "net/http/key_guard.hpp"

#include <algorithm>
#include <fstream>
#include <functional>
#include <stdexcept>

#include "net/protocol/base64.hpp"

namespace fvlm::net {
namespace {

constexpr std::size_t kMostNames = 4096;
constexpr std::chrono::seconds kLongestWait{60};
constexpr std::chrono::minutes kMemory{15};

// Constant time: it shows neither the place of the first difference nor, beyond its length, the
// key.
bool same_in_constant_time(std::string_view given, std::string_view key) {
  std::size_t difference = given.size() ^ key.size();
  for (std::size_t i = 0; i < given.size(); ++i) {
    const char expected = key.empty() ? '\0' : key[i % key.size()];
    difference |= static_cast<std::size_t>(static_cast<unsigned char>(given[i] ^ expected));
  }
  return difference == 0;
}

bool carries_key(std::string_view authorization, std::string_view key) {
  const std::size_t space = authorization.find(' ');
  if (space == authorization.npos) return false;
  std::string scheme(authorization.substr(0, space));
  std::transform(scheme.begin(), scheme.end(), scheme.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const std::string_view credentials = authorization.substr(space + 1);
  if (scheme == "bearer") return same_in_constant_time(credentials, key);
  if (scheme != "basic") return false;
  const auto name_and_password = decode_base64(credentials);
  if (!name_and_password) return false;
  const std::size_t colon = name_and_password->find(':');
  if (colon == std::string::npos) return false;
  return same_in_constant_time(std::string_view(*name_and_password).substr(colon + 1), key);
}

}  // namespace

std::string read_key(const std::string& file) {
  std::ifstream lines(file);
  std::string key;
  if (!std::getline(lines, key) || key.empty()) {
    throw std::runtime_error(file + ": expected a key in its first line");
  }
  return key;
}

KeyGuard::Verdict KeyGuard::check(const std::string& client, std::string_view authorization,
                                  Clock::time_point now) {
  using Kind = Verdict::Kind;
  if (authorization.empty()) return {Kind::kMissing};  // as a browser's first request is
  const std::string given =
      client + ' ' + std::to_string(std::hash<std::string_view>{}(authorization));
  const auto wait = [&] { return std::max(left(client, now), left(given, now)); };
  if (wait().count() > 0) return {Kind::kWait, wait()};
  if (carries_key(authorization, key_)) return {Kind::kRight};
  if (add(given, now) == 0) add(client, now);
  return {Kind::kWrong, wait()};
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
