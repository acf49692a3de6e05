// What tests of the camera client know about JPEG independently of it: decoding by libjpeg's
// plainest calls, and pictures that lack a part.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "capture/source/picture.hpp"

namespace fvlm::capture {

struct DecodedJpeg {
  int width = 0;
  int height = 0;
  int components = 0;
  std::vector<std::uint8_t> samples{};  // [height, width, components]: Y, or Y, Cb, Cr
  long warnings = 0;                    // libjpeg's
};

// Throws std::runtime_error if libjpeg gives up.
DecodedJpeg decode_jpeg(const std::string& jpeg);

// The pieces put together, as they come out of a socket.
std::string joined(const Picture& picture);

// The same picture without its Huffman tables, as many cameras send it.
std::string without_huffman_tables(const std::string& jpeg);

// The root of the mean square of the differences; the sizes must be the same.
double difference(const std::vector<std::uint8_t>& a, const std::vector<std::uint8_t>& b);

}  // namespace fvlm::capture
