// One whole JPEG, ready for the wire, in up to three parts (scatter-gather): a camera's frame that
// lacks Huffman tables is its head, the tables, and its rest, which are concatenated no earlier
// than in the socket.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "capture/source/frame.hpp"

namespace fvlm::capture {

struct Picture {
  std::array<Bytes, 3> pieces{};
  int width = 0;
  int height = 0;
  std::uint64_t number = 0;
  Clock::time_point taken{};
  std::shared_ptr<const void> hold{};  // keeps the pieces there

  std::size_t size() const { return pieces[0].size + pieces[1].size + pieces[2].size; }
};

}  // namespace fvlm::capture
