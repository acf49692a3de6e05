// Views: a pointer with a shape; they never own. Channels are innermost everywhere (NHWC), so a
// feature map is a matrix whose rows are positions, and the encoder's output already is the token
// matrix.
#pragma once

#include <cassert>
#include <cstdint>
#include <type_traits>

namespace fvlm {

// A matrix [rows, cols]; element (r, c) is at data[r * stride + c].
template <class T>
struct View {
  T* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;

  T* row(std::int64_t r) const {
    assert(r >= 0 && r < rows);
    return data + r * stride;
  }

  // Rows [first, first + count).
  View slice_rows(std::int64_t first, std::int64_t count) const {
    assert(first >= 0 && count >= 0 && first + count <= rows);
    return {data == nullptr ? nullptr : data + first * stride, count, cols, stride};
  }

  // The first `count` columns.
  View first_cols(std::int64_t count) const {
    assert(count >= 0 && count <= cols);
    return {data, rows, count, stride};
  }

  // A view of const is a weaker view of the same data.
  template <class U>
  requires(std::is_same_v<U, const T> && !std::is_const_v<T>) operator View<U>() const {
    return {data, rows, cols, stride};
  }
};

// Feature maps of a batch of images, [batch, height, width, channels], contiguous.
template <class T>
struct FeatureMap {
  T* data = nullptr;
  std::int64_t batch = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 0;

  std::int64_t positions() const { return height * width; }
  std::int64_t elements() const { return batch * positions() * channels; }

  // The same data as [batch * height * width, channels].
  View<T> matrix() const { return {data, batch * positions(), channels, channels}; }

  // Row y of image b: [width, channels].
  T* row(std::int64_t b, std::int64_t y) const {
    assert(b >= 0 && b < batch && y >= 0 && y < height);
    return data + (b * height + y) * width * channels;
  }

  // See View.
  template <class U>
  requires(std::is_same_v<U, const T> && !std::is_const_v<T>) operator FeatureMap<U>() const {
    return {data, batch, height, width, channels};
  }
};

}  // namespace fvlm
