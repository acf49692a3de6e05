// Decoders for libheif in place of its own. What a picture costs is decided from the size that its
// file declares, but what is coded may be larger: 786 bytes of AVIF can make a decoder ask for
// gigabytes. libheif before 1.22 does not pass its limits on to its decoders; ours get the very
// bytes that are decoded, and refuse a larger picture before they allocate any of it.
//
// libheif knows decoders by the process and hands them nothing of its callers', so that the limit
// is the thread's: contexts must decode in the thread that calls them.
#pragma once

#include <cstdint>

namespace fvlm::image_formats {

struct CodedLimit {
  std::int64_t pixels = 0;  // of one coded picture: coded_pixels of its size
  int sample_bytes = 1;     // 2 if samples may have more than 8 bits
};

inline constexpr const char* kLargerThanDeclared = "what is coded is larger than the file declares";

// The pixels that decoders allocate for a picture: AV1 and HEVC code blocks of up to 128 and 64
// pixels a side, which reach beyond its edges.
constexpr std::int64_t coded_pixels(std::int64_t width, std::int64_t height) {
  constexpr std::int64_t kBlock = 128;
  const auto whole_blocks = [](std::int64_t side) { return (side + kBlock - 1) / kBlock * kBlock; };
  return whole_blocks(width) * whole_blocks(height);
}

// Makes libheif use them, from the first call on. Throws Error if it refuses.
void register_heif_decoders();

// While it lives, what this thread decodes stays within `limit`; without one nothing is decoded.
class CodedLimitScope {
 public:
  explicit CodedLimitScope(const CodedLimit& limit);
  ~CodedLimitScope();
  CodedLimitScope(const CodedLimitScope&) = delete;
  CodedLimitScope& operator=(const CodedLimitScope&) = delete;
};

}  // namespace fvlm::image_formats
