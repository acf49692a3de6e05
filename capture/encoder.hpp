// From a frame to a JPEG for the wire, at the least cost: a camera's JPEG that is small enough
// passes through unchanged, anything else is compressed or scaled down. No picture leaves without
// the transform that is wanted, and none on its side.
#pragma once

#include <cstdint>

#include "capture/source/counters.hpp"
#include "capture/source/frame.hpp"
#include "capture/source/jpeg_codec.hpp"
#include "capture/source/jpeg_header.hpp"
#include "capture/source/picture.hpp"
#include "capture/source/planes.hpp"
#include "capture/source/transform.hpp"

namespace fvlm::capture {

struct EncoderOptions {
  int width = 640;        // what is much wider is made smaller, but not under this
  int quality = 85;       // of what is compressed here
  int max_quality = 100;  // a camera's JPEG above this is compressed again
  Transform transform{};  // of all pictures: without one a camera's JPEG may pass
};

class Encoder {
 public:
  Encoder(const EncoderOptions& options, Counters& counters)
      : options_(options), counters_(counters) {}

  // Throws std::runtime_error if the frame is a JPEG that is damaged, TransformError if the
  // transform leaves nothing of it. For one thread.
  Picture encode(const Frame& frame);

 private:
  Picture from_planes(const Frame& frame, const Planes& planes, std::uint64_t& copied);
  Picture from_jpeg(const Frame& frame, std::uint64_t& copied);
  Picture turned(const Frame& frame, const JpegHeader& header, std::uint64_t& copied);

  EncoderOptions options_;
  Counters& counters_;
  JpegCodec codec_{};
};

}  // namespace fvlm::capture
