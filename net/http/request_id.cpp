#include "net/http/request_id.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <random>

namespace fvlm::net {

bool is_usable_request_id(std::string_view id) {
  constexpr std::size_t kLongest = 128;
  constexpr std::string_view kOther = "-_.:/+=@";
  return !id.empty() && id.size() <= kLongest && std::all_of(id.begin(), id.end(), [&](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || kOther.find(c) != kOther.npos;
  });
}

RequestIds::RequestIds() {
  std::random_device random;
  process_ = std::uint64_t{random()} << 32 | random();
}

std::string RequestIds::choose(std::string_view given) {
  if (is_usable_request_id(given)) return std::string(given);
  return fmt::format("{:016x}-{:x}", process_, ++last_);
}

}  // namespace fvlm::net
