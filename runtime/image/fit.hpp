// From a picture's rows, as they are decoded, to the square of pixels that the encoder sees. The
// bits are those of Pillow: exif_transpose, a black square around it or not, resize, crop. Beside
// the square it takes a few rows of the picture, however large that is.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "fvlm/image.hpp"
#include "fvlm/models/config.hpp"
#include "runtime/image/resize.hpp"
#include "runtime/image/resize_axis.hpp"

namespace fvlm {

// The part of the square that shows the picture; around it is black.
struct ShownPart {
  std::int64_t left = 0;
  std::int64_t top = 0;
  std::int64_t width = 0;
  std::int64_t height = 0;
};

// Takes the rows of one picture one by one, the top one first. Upright rows are resized as they
// come and kept as long as an output row needs them. If the picture lies on its side, its rows are
// upright columns, and the upright rows are to be resized first: then whole stored rows are kept,
// and what has become of them is resized along.
class ImageFitter {
 public:
  // The square is [side, side, 3], written to `out`, which must outlive this.
  ImageFitter(const ImageInfo& info, const Preprocessing& fit, std::int64_t side,
              std::span<std::uint8_t> out);

  // Where the next row, [info.width, 3], is to be written.
  std::uint8_t* row() { return row_.data(); }
  // Takes what was written there.
  void add_row();

  ShownPart shown() const;

 private:
  // Of outputs that lie across the stored rows, in the order in which they can be finished.
  const ResizeAxis& across_rows() const { return lies_ ? plan_.across : plan_.down; }
  const ResizeAxis& along_rows() const { return lies_ ? plan_.down : plan_.across; }
  std::uint8_t* kept_line(std::int64_t row);
  void finish(std::int64_t output);
  void write_column(std::int64_t x);

  bool lies_;             // on its side: stored rows are upright columns
  bool rows_reversed_;    // the last one comes first
  bool pixels_reversed_;  // of each row
  std::int64_t width_;    // as stored
  std::int64_t height_;
  std::int64_t side_;
  std::uint8_t* out_;  // [side, side, 3]
  ResizePlan plan_;
  RowResizer along_;
  std::int64_t come_ = 0;            // rows
  std::int64_t finished_ = 0;        // outputs
  std::int64_t line_bytes_;          // of a kept line, with slack
  std::int64_t kept_;                // lines
  std::vector<std::uint8_t> row_;    // [width, 3]
  std::vector<std::uint8_t> lines_;  // [kept, line_bytes], a ring
  std::vector<std::uint8_t>
      column_;  // if it lies: [width, 3], then what that becomes: [side, 3] and slack
  std::vector<const std::uint8_t*> sources_;
};

// Reads the whole picture into the square [side, side, 3] at `out`. Throws Error as the reader
// does.
ShownPart fit_image(ImageReader& reader, const Preprocessing& fit, std::int64_t side,
                    std::span<std::uint8_t> out);

}  // namespace fvlm
