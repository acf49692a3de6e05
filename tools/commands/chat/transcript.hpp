// A conversation in a file.
#pragma once

#include <filesystem>
#include <vector>

#include "fvlm/engine.hpp"

namespace fvlm {

// Writes the turns: as a JSON array of role, text and number of pictures if the name ends in .json,
// else as text, questions after "> ". The file appears whole or not at all. Throws Error if it is
// there already or cannot be written.
void save_conversation(const std::filesystem::path& file, const std::vector<Turn>& conversation);

}  // namespace fvlm
