// Texts in files that flags name.
#pragma once

#include <string>

namespace fvlm {

// All of it. Throws Error with the file's name if it cannot be read, or has more than 16 MB, which
// no prompt and no schema needs.
std::string read_text_file(const std::string& name);

}  // namespace fvlm
