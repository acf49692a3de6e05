// JPEG through libjpeg-turbo, with as little moved as its interface allows:
//   compress   planes to a JPEG. Rows are taken where they lie, unless samples are not adjacent,
//              the width is no multiple of a block, or the picture is made smaller: then band by
//              band through a buffer of at most 16 rows, which stays in the cache.
//   rescale    a JPEG to a smaller one. The inverse transform leaves out what the smaller picture
//              does not show, and one row at a time goes from decoder to encoder.
//   decode     a JPEG to planes, for what must be done to its pixels.
// One object serves one thread and keeps its memory from picture to picture.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "capture/source/frame.hpp"
#include "capture/source/planes.hpp"

namespace fvlm::capture {

struct Jpeg {
  std::vector<std::uint8_t> bytes{};
  int width = 0;
  int height = 0;
};

class JpegCodec {
 public:
  JpegCodec();
  ~JpegCodec();
  JpegCodec(const JpegCodec&) = delete;
  JpegCodec& operator=(const JpegCodec&) = delete;

  // The picture made smaller by `factor` across and down, black where `planes` say so. Adds what
  // went through the row buffer to `copied`.
  Jpeg compress(const Planes& planes, int factor, int quality, std::uint64_t& copied);

  // The picture at eighths/8 of its size, 1 to 8. Throws std::runtime_error if it cannot be
  // decoded without doubt.
  Jpeg rescale(Bytes jpeg, int eighths, int quality, std::uint64_t& copied);

  // The planes of the picture at eighths/8 of its size, until the next call. Throws as rescale().
  Planes decode(Bytes jpeg, int eighths);

  // A DHT segment with the tables of ISO/IEC 10918-1, annex K.3, for pictures that come without.
  static Bytes huffman_tables();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fvlm::capture
