// What HEVC data makes a decoder allocate, told from its NAL units (ITU-T H.265) before it has
// them. An image item of a HEIC is one picture, decoded by itself; a decoder of video would keep up
// to 17 if it were several or referred to missing ones.
#pragma once

#include <cstddef>
#include <span>

#include "runtime/image/heif_decoders.hpp"

namespace fvlm::image_formats {

class HevcCheck {
 public:
  explicit HevcCheck(const CodedLimit& limit) : limit_(limit) {}

  // Whether the next unit, given without start code or length, is the decoder's: those of layers
  // above the base are not. Throws Error if it must not have it: a sequence parameter set with a
  // larger picture than the limit or deeper samples, a second picture, or more of something than a
  // picture needs.
  bool is_decoded(std::span<const std::byte> unit);

 private:
  void check_sequence(std::span<const std::byte> unit) const;
  void check_slice(int type, std::span<const std::byte> unit);

  CodedLimit limit_;
  int picture_sets_ = 0;
  int pictures_ = 0;
  int slices_ = 0;
};

}  // namespace fvlm::image_formats
