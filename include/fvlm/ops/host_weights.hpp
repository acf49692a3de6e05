// Folded weights on the host, on their way from a checkpoint into a backend's own form.
// Matrices stay where the file is mapped and are converted row by row, so that loading a large
// one needs no second copy; the small convolutions are folded completely.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "fvlm/core/convert.hpp"
#include "fvlm/core/element.hpp"

namespace fvlm {

// The format a backend keeps a matrix in.
enum class WeightFormat : std::uint8_t {
  kF32,   // float32
  kBF16,  // bfloat16: what the released checkpoints store, so nothing is lost for most tensors
};

// A change of rank `rank` to a matrix [rows, in], as LoRA trains it: + scale * b a.
struct LowRank {
  std::int64_t rank = 0;
  double scale = 1;
  std::vector<float> a;  // [rank, in]
  std::vector<float> b;  // [rows, rank]

  void add_row(std::int64_t r, std::span<float> to) const {
    for (std::int64_t k = 0; k < rank; ++k) {
      const double factor = scale * b[static_cast<std::size_t>(r * rank + k)];
      const float* row = a.data() + k * static_cast<std::int64_t>(to.size());
      for (std::size_t i = 0; i < to.size(); ++i)
        to[i] = static_cast<float>(to[i] + factor * row[i]);
    }
  }
};

struct HostLinear {
  struct Block {  // `rows` stored rows of `in` elements each
    DType dtype;
    const std::byte* data;
    std::int64_t rows;
    std::shared_ptr<const LowRank> change{};  // perhaps
  };

  std::int64_t out = 0;
  std::int64_t in = 0;
  std::vector<Block> blocks{};
  std::vector<double> row_scale{};  // [out], or empty
  std::vector<float> bias{};        // [out], scaled already, or empty

  // Writes row `r` of the folded matrix as float32 [in]. Safe to call from several threads.
  void row(std::int64_t r, std::span<float> to) const {
    std::int64_t first = 0;
    for (const Block& block : blocks) {
      if (r - first < block.rows) {
        const std::size_t row_bytes = static_cast<std::size_t>(in) * size_of(block.dtype);
        convert_to_float(block.dtype, block.data + static_cast<std::size_t>(r - first) * row_bytes,
                         to);
        if (block.change) block.change->add_row(r - first, to);
        break;
      }
      first += block.rows;
    }
    if (row_scale.empty()) return;
    const double scale = row_scale[static_cast<std::size_t>(r)];
    for (float& w : to) w = static_cast<float>(w * scale);
  }
};

struct HostDepthwise {
  std::vector<float> weight;  // [kernel * kernel, out]: taps outermost, channels innermost
  std::vector<float> bias;    // [out]
};

struct HostStem {
  std::vector<float> weight;  // [3 * 3 * 3 (y, x, rgb), out], for pixels in 0..255
  std::vector<float> bias;    // [out]
};

struct HostNorm {
  std::vector<float> weight;  // [channels]
  std::vector<float> bias;    // [channels], or empty
};

}  // namespace fvlm
