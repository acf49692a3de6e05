// Cuts text into the pieces within which byte pairs may merge. The rule is Qwen2's pattern, here
// written by hand: a regular-expression engine backtracks over long runs of spaces, has match
// limits, and differs from others in what `\s` means.
#pragma once

#include <cstddef>
#include <string_view>

namespace fvlm {

// The pattern, as it stands in a tokenizer.json.
inline constexpr std::string_view kPreSplitPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Bytes of the first piece of `text`, at least 1. `text` must be valid UTF-8 and not empty. The
// pattern never looks back, so what follows is cut by calling again with the rest; the time over
// a whole text is linear.
std::size_t first_piece_length(std::string_view text);

}  // namespace fvlm
