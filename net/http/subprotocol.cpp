#include "net/http/subprotocol.hpp"

#include <algorithm>

#include "net/protocol/percent.hpp"

namespace fvlm::net {
namespace {

constexpr std::string_view kKeyPrefix = "fastvlm.key.";

// The first element that `wanted` accepts, without white space around it; else empty.
template <class Wanted>
std::string_view find_element(std::string_view list, Wanted wanted) {
  constexpr std::string_view kSpace = " \t";
  while (!list.empty()) {
    std::string_view element = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), element.size() + 1));
    element.remove_prefix(std::min(element.find_first_not_of(kSpace), element.size()));
    element = element.substr(0, element.find_last_not_of(kSpace) + 1);
    if (wanted(element)) return element;
  }
  return {};
}

}  // namespace

bool offers_subprotocol(std::string_view offered) {
  return !find_element(offered, [](std::string_view each) { return each == kSubprotocol; }).empty();
}

std::string key_offered(std::string_view offered) {
  std::string_view found =
      find_element(offered, [](std::string_view each) { return each.starts_with(kKeyPrefix); });
  found.remove_prefix(std::min(found.size(), kKeyPrefix.size()));
  return percent_decoded(found);
}

}  // namespace fvlm::net
