#include "runtime/engine/prompt_layout.hpp"

#include <algorithm>
#include <cstddef>

#include "runtime/engine/prompt.hpp"

namespace fvlm {

std::vector<PromptSpan> prompt_spans(std::span<const std::int32_t> ids, std::int64_t image_tokens) {
  std::vector<PromptSpan> spans;
  std::int64_t images = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::int64_t position = spans.empty() ? 0 : spans.back().end();
    if (ids[i] == kImageToken) {
      spans.push_back({static_cast<std::int64_t>(i), images++, position, image_tokens});
    } else if (!spans.empty() && spans.back().image < 0) {
      ++spans.back().rows;
    } else {
      spans.push_back({static_cast<std::int64_t>(i), -1, position, 1});
    }
  }
  return spans;
}

Hash128 token_key(std::int32_t token) {
  return {.low = static_cast<std::uint32_t>(token)};
}

// The highest bit is set, so that it never equals a token.
Hash128 image_key(const Hash128& image, std::int64_t place) {
  return {image.high | std::uint64_t{1} << 63, image.low + static_cast<std::uint64_t>(place)};
}

PositionKeys PromptLayout::keys() const {
  PositionKeys keys;
  keys.reserve(static_cast<std::size_t>(positions()));
  for (const PromptSpan& span : spans) {
    for (std::int64_t i = 0; i < span.rows; ++i) {
      keys.push_back(span.image < 0
                         ? token_key(ids[static_cast<std::size_t>(span.first_id + i)])
                         : image_key(images[static_cast<std::size_t>(span.image)].hash, i));
    }
  }
  return keys;
}

bool PromptLayout::equals(const PromptLayout& other) const {
  return ids == other.ids &&
         std::ranges::equal(images, other.images, {}, &PreparedImage::hash, &PreparedImage::hash);
}

}  // namespace fvlm
