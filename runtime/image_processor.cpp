// Padding and resizing as Pillow does it, bit for bit, by the filters of ops/resize.hpp.
#include "runtime/image_processor.hpp"

#include <omp.h>

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <utility>
#include <vector>

#include "fvlm/ops/resize.hpp"
#include "runtime/image_resize_row.hpp"

namespace fvlm {
namespace {

constexpr std::int32_t kHalf = 1 << (kWeightFractionBits - 1);

std::uint8_t round_to_byte(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kWeightFractionBits, 0, 255));
}

// The filter of resize_row for the outputs that touch the picture.
RowFilter make_row_filter(const ResizeAxis& axis) {
  RowFilter filter;
  filter.taps.assign(axis.taps.begin() + axis.begin, axis.taps.begin() + axis.end);
  filter.stride = axis.stride / 2;
  filter.pairs.reserve(filter.taps.size() * static_cast<std::size_t>(filter.stride));
  for (std::int64_t i = axis.begin; i < axis.end; ++i) {
    for (const std::int32_t* w = axis.weights_of(i); w < axis.weights_of(i + 1); w += 2) {
      const auto high = [](std::int32_t weight) { return static_cast<std::int16_t>(weight >> 8); };
      const auto low = [](std::int32_t weight) { return static_cast<std::int16_t>(weight & 0xff); };
      filter.pairs.push_back({{high(w[0]), high(w[1])}, {low(w[0]), low(w[1])}});
    }
  }
  return filter;
}

// Resizes every row of the picture: [height, row_bytes], where a row is [outputs, 3] and slack.
std::vector<std::uint8_t> resize_rows(const Image& image, const RowFilter& filter,
                                      std::int64_t row_bytes, int threads) {
  std::vector<std::uint8_t> resized(static_cast<std::size_t>(image.height * row_bytes));
  // Each thread copies the row it works on: behind the copy there is something to read.
  const std::int64_t in_bytes = image.width * 3;
  const std::int64_t copy_bytes = in_bytes + kRowReadSlack;
  std::vector<std::uint8_t> copies(static_cast<std::size_t>(threads * copy_bytes));
#pragma omp parallel for num_threads(threads)
  for (std::int64_t y = 0; y < image.height; ++y) {
    std::uint8_t* row = copies.data() + omp_get_thread_num() * copy_bytes;
    std::copy_n(image.rgb.data() + y * in_bytes, in_bytes, row);
    resize_row(row, filter, resized.data() + y * row_bytes);
  }
  return resized;
}

// Resizes the columns of `rows`, [.., row_bytes] of which `used_bytes` hold pixels, into columns of
// `out`, [size, out_row_bytes].
void resize_columns(const std::vector<std::uint8_t>& rows, std::int64_t row_bytes,
                    std::int64_t used_bytes, const ResizeAxis& axis, std::uint8_t* out,
                    std::int64_t out_row_bytes, int threads) {
#pragma omp parallel for num_threads(threads)
  for (std::int64_t y = axis.begin; y < axis.end; ++y) {
    constexpr std::int64_t kChunk = 768;
    std::int32_t sums[kChunk];
    const Taps taps = axis.taps[static_cast<std::size_t>(y)];
    for (std::int64_t x = 0; x < used_bytes; x += kChunk) {
      const std::int64_t count = std::min(kChunk, used_bytes - x);
      std::fill_n(sums, count, kHalf);
      for (std::int64_t k = 0; k < taps.count; ++k) {
        const std::uint8_t* row = rows.data() + (taps.first + k) * row_bytes + x;
        const std::int32_t weight = axis.weights_of(y)[k];
        for (std::int64_t i = 0; i < count; ++i) sums[i] += row[i] * weight;
      }
      std::transform(sums, sums + count, out + y * out_row_bytes + x, round_to_byte);
    }
  }
}

}  // namespace

void pad_and_resize(const Image& image, std::int64_t size, int threads,
                    std::span<std::uint8_t> out) {
  assert(image.width > 0 && image.height > 0 && size > 0);
  assert(std::cmp_equal(image.rgb.size(), image.width * image.height * 3));
  assert(std::cmp_equal(out.size(), size * size * 3));

  const std::int64_t side = std::max(image.width, image.height);
  const std::int64_t left = (side - image.width) / 2;
  const std::int64_t top = (side - image.height) / 2;
  std::fill(out.begin(), out.end(), std::uint8_t{0});
  if (side == size) {  // Resizing would give the same: at whole distances weights are 0, or 1 at 0.
    for (std::int64_t y = 0; y < image.height; ++y) {
      std::copy_n(image.rgb.data() + y * image.width * 3, image.width * 3,
                  out.data() + ((top + y) * size + left) * 3);
    }
    return;
  }
  const ResizePlan plan(image.width, image.height, size);
  const ResizeAxis& horizontal = plan.horizontal;
  const ResizeAxis& vertical = plan.vertical;
  const std::int64_t used_bytes = (horizontal.end - horizontal.begin) * 3;
  const std::int64_t row_bytes = used_bytes + kRowWriteSlack;
  const std::vector<std::uint8_t> rows =
      resize_rows(image, make_row_filter(horizontal), row_bytes, threads);
  resize_columns(rows, row_bytes, used_bytes, vertical, out.data() + horizontal.begin * 3, size * 3,
                 threads);
}

}  // namespace fvlm
