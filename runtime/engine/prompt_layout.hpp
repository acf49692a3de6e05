// The rows that a prompt has in the decoder: which are tokens and which belong to an image, and a
// key for what stands at each position, by which prompts with a common prefix are found.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "fvlm/core/hash.hpp"
#include "fvlm/image.hpp"

namespace fvlm {

// Consecutive rows of the prompt: tokens, or the positions of one image.
struct PromptSpan {
  std::int64_t first_id;  // index into the prompt's ids
  std::int64_t image;     // index into the prompt's images, or -1
  std::int64_t position;  // of its first row
  std::int64_t rows;

  std::int64_t end() const { return position + rows; }
};

// `ids` holds kImageToken once for each image, which becomes `image_tokens` rows.
std::vector<PromptSpan> prompt_spans(std::span<const std::int32_t> ids, std::int64_t image_tokens);

// What stands at each position of a sequence: a token, or a place inside an image. Equal keys mean
// equal content, whoever sent it.
using PositionKeys = std::vector<Hash128>;
Hash128 token_key(std::int32_t token);
Hash128 image_key(const Hash128& image, std::int64_t place);

struct PromptLayout {
  std::vector<std::int32_t> ids;  // kImageToken once for each image
  std::vector<PromptSpan> spans{};
  std::vector<PreparedImage> images{};
  bool continues = false;  // ends within a text that the answer continues

  std::int64_t positions() const { return spans.empty() ? 0 : spans.back().end(); }
  PositionKeys keys() const;                     // one for each position
  bool equals(const PromptLayout& other) const;  // the same keys
};

}  // namespace fvlm
