// Reads a JSON document value by value, without a tree in memory: a vocabulary of 150,000 entries
// loads several times faster, and keys that occur twice are both seen.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace fvlm {

// Called for every number, text, boolean and null, in the document's order. `path` names the
// object or array it stands in, e.g. "model.vocab", empty for the outermost; `key` is its name
// there, or its index in an array.
using JsonLeafVisitor =
    std::function<void(std::string_view path, std::string_view key, const nlohmann::json& value)>;

// Throws Error, naming `file`, if `text` is not valid JSON.
void for_each_json_leaf(std::string_view text, const std::string& file,
                        const JsonLeafVisitor& visit);

}  // namespace fvlm
