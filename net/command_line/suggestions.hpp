// What somebody meant who made a typo.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fvlm::net {

// The candidate that is most like `word`: the shortest that begins with it, or the one that the
// fewest inserted, deleted, replaced or exchanged characters make of it (optimal string alignment
// distance), of at most a third. Empty if none is so near. '-' and '_' are alike.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

// ": did you mean WORD?" with the nearest, or nothing.
std::string suggestion(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace fvlm::net
