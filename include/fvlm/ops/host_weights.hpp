// Folded weights on the host, on their way from a checkpoint into a backend's own form.
// Matrices stay where the file is mapped and are converted row by row, so that loading a large
// one needs no second copy; the small convolutions are folded completely.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "fvlm/core/convert.hpp"
#include "fvlm/core/element.hpp"
#include "fvlm/ops/quantise.hpp"
#include "fvlm/ops/weight_format.hpp"

namespace fvlm {

// A low-rank update of a matrix [rows, in], as LoRA trains it: + scale * b a.
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
    std::shared_ptr<const LowRank> change{};  // may be null
    std::optional<WeightFormat> quantised{};  // then data are words, and `scales` theirs
    const std::byte* scales = nullptr;
  };

  std::int64_t out = 0;
  std::int64_t in = 0;
  std::vector<Block> blocks{};
  std::vector<double> row_scale{};  // [out], or empty
  std::vector<float> bias{};        // [out], scaled already, or empty

  // Writes row `r` of the folded matrix as float32 [in]. Safe to call from several threads.
  void row(std::int64_t r, std::span<float> to) const {
    const auto [block, at] = place(r);
    if (block.quantised) {
      const WeightFormat& format = *block.quantised;
      dequantise_row(block.data + at * format.row_bytes(in), scales_of(block, at), format, to);
    } else {
      const auto row_bytes = in * static_cast<std::int64_t>(size_of(block.dtype));
      convert_to_float(block.dtype, block.data + at * row_bytes, to);
    }
    if (block.change) block.change->add_row(at, to);
    if (row_scale.empty()) return;
    const double scale = row_scale[static_cast<std::size_t>(r)];
    for (float& w : to) w = static_cast<float>(w * scale);
  }

  // The same row as integers, `words` and `scales` as quantise_row writes them: those of the file,
  // bit for bit, if it has the same format. `scratch` has room for [in].
  void quantised_row(std::int64_t r, const WeightFormat& format, std::byte* words, BFloat16* scales,
                     std::span<float> scratch) const {
    const auto [block, at] = place(r);
    if (block.quantised == format && !block.change && row_scale.empty()) {
      const std::int64_t bytes = format.row_bytes(in);
      std::memcpy(words, block.data + at * bytes, static_cast<std::size_t>(bytes));
      std::memcpy(scales, scales_of(block, at),
                  static_cast<std::size_t>(format.scales(in)) * sizeof(BFloat16));
    } else {
      row(r, scratch);
      quantise_row(scratch, format, words, scales);
    }
  }

 private:
  struct Place {
    const Block& block;
    std::int64_t row;  // of the block
  };
  Place place(std::int64_t r) const {
    std::size_t b = 0;
    for (; r >= blocks[b].rows; ++b) r -= blocks[b].rows;
    return {blocks[b], r};
  }
  const std::byte* scales_of(const Block& block, std::int64_t at) const {
    return block.scales +
           at * block.quantised->scales(in) * static_cast<std::int64_t>(sizeof(BFloat16));
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
