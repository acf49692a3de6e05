#include "runtime/image/fit.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

namespace fvlm {
namespace {

// How the stored rows of EXIF's orientations lie in the upright picture.
bool lies_on_its_side(int orientation) {
  return orientation >= 5;
}
bool rows_are_reversed(int orientation) {
  return orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
}
bool pixels_are_reversed(int orientation) {
  return orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
}

std::int64_t most_taps(const ResizeAxis& axis) {
  const auto most = std::max_element(axis.taps.begin(), axis.taps.end(),
                                     [](Taps a, Taps b) { return a.count < b.count; });
  return std::max<std::int64_t>(1, most->count);
}

// Not outside of what a crop keeps.
bool is_needed(const ResizeAxis& axis, std::int64_t sample) {
  return sample >= axis.taps[static_cast<std::size_t>(axis.begin)].first &&
         sample < axis.taps[static_cast<std::size_t>(axis.end - 1)].end();
}

void reverse_pixels(std::uint8_t* row, std::int64_t width) {
  for (std::int64_t left = 0, right = width - 1; left < right; ++left, --right) {
    std::swap_ranges(row + 3 * left, row + 3 * left + 3, row + 3 * right);
  }
}

}  // namespace

ImageFitter::ImageFitter(const ImageInfo& info, const Preprocessing& fit, std::int64_t side,
                         std::span<std::uint8_t> out)
    : lies_(lies_on_its_side(info.orientation)),
      rows_reversed_(rows_are_reversed(info.orientation)),
      pixels_reversed_(pixels_are_reversed(info.orientation)),
      width_(info.width),
      height_(info.height),
      side_(side),
      out_(out.data()),
      plan_(lies_ ? height_ : width_, lies_ ? width_ : height_, fit, side),
      along_(along_rows(), width_),
      line_bytes_((lies_ ? width_ : plan_.across.outputs()) * 3 + RowResizer::kWriteSlack),
      kept_(most_taps(across_rows())),
      row_(static_cast<std::size_t>(width_ * 3)),
      lines_(static_cast<std::size_t>(kept_ * line_bytes_)),
      column_(static_cast<std::size_t>(lies_ ? (width_ + side) * 3 + RowResizer::kWriteSlack : 0)) {
  assert(width_ > 0 && height_ > 0 && side > 0);
  assert(std::cmp_equal(out.size(), side * side * 3));
  std::fill(out.begin(), out.end(), std::uint8_t{0});
}

std::uint8_t* ImageFitter::kept_line(std::int64_t row) {
  return lines_.data() + row % kept_ * line_bytes_;
}

void ImageFitter::add_row() {
  assert(come_ < height_);
  const std::int64_t row = rows_reversed_ ? height_ - 1 - come_ : come_;
  ++come_;
  const ResizeAxis& axis = across_rows();
  if (!is_needed(axis, row)) return;
  if (pixels_reversed_) reverse_pixels(row_.data(), width_);
  if (lies_) {
    std::memcpy(kept_line(row), row_.data(), row_.size());
  } else {
    along_.run(row_.data(), kept_line(row));
  }
  for (; finished_ < axis.outputs(); ++finished_) {
    const std::int64_t output = rows_reversed_ ? axis.end - 1 - finished_ : axis.begin + finished_;
    const Taps taps = axis.taps[static_cast<std::size_t>(output)];
    if (rows_reversed_ ? row > taps.first : row < taps.end() - 1) return;
    finish(output);
  }
}

// All rows that an output needs have come.
void ImageFitter::finish(std::int64_t output) {
  const ResizeAxis& axis = across_rows();
  const Taps taps = axis.taps[static_cast<std::size_t>(output)];
  sources_.clear();
  for (std::int64_t k = 0; k < taps.count; ++k) sources_.push_back(kept_line(taps.first + k));
  const std::span weights(axis.weights_of(output), static_cast<std::size_t>(taps.count));
  if (lies_) {
    combine_lines(sources_, weights, width_ * 3, column_.data());
    write_column(output);
  } else {
    combine_lines(sources_, weights, plan_.across.outputs() * 3,
                  out_ + (output * side_ + plan_.across.begin) * 3);
  }
}

// Resizes the upright column in column_, and writes it.
void ImageFitter::write_column(std::int64_t x) {
  const ResizeAxis& down = plan_.down;
  std::uint8_t* const resized = column_.data() + width_ * 3;
  along_.run(column_.data(), resized);
  for (std::int64_t i = 0; i < down.outputs(); ++i) {
    std::memcpy(out_ + ((down.begin + i) * side_ + x) * 3, resized + i * 3, 3);
  }
}

ShownPart ImageFitter::shown() const {
  const ResizeAxis& across = plan_.across;
  const ResizeAxis& down = plan_.down;
  return {across.shown_begin, down.shown_begin, across.shown_end - across.shown_begin,
          down.shown_end - down.shown_begin};
}

ShownPart fit_image(ImageReader& reader, const Preprocessing& fit, std::int64_t side,
                    std::span<std::uint8_t> out) {
  ImageFitter fitter(reader.info(), fit, side, out);
  for (std::int64_t y = 0; y < reader.info().height; ++y) {
    reader.read_row(fitter.row());
    fitter.add_row();
  }
  return fitter.shown();
}

}  // namespace fvlm
