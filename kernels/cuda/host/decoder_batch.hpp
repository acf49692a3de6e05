// A DecoderBatch as the device wants it: one array of integers, for one copy, and pointers into it.
#pragma once

#include <cstdint>
#include <vector>

#include "fvlm/ops/batch.hpp"
#include "kernels/cuda/primitives/operands.hpp"

namespace fvlm {

class BatchLayout {
 public:
  // `single_capacity`: the rows that attention's scratch memory was made for.
  BatchLayout(const DecoderBatch& batch, std::int64_t single_capacity);

  // What to copy to the device.
  const std::vector<std::int32_t>& words() const { return words_; }
  // The batch, with the words at this address of the device.
  DeviceBatch at(const std::int32_t* words) const;

 private:
  DeviceBatch counts_{};
  std::int64_t singles_ = 0;  // where in words_ these begin
  std::int64_t ranges_ = 0;
  std::int64_t pages_ = 0;
  std::vector<std::int32_t> words_{};
};

// The cosines, then the sines, of a position's angles: [positions, head_dim].
std::vector<float> rotation_table(std::int64_t positions, std::int64_t head_dim, double theta);

}  // namespace fvlm
