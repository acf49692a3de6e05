// GIF through giflib: the first frame, on its screen. Colours become RGB by a table of 256 that
// holds the background for the transparent index; so rows need no more than their indices, and only
// an interlaced frame is held whole, a byte a pixel.
//
// What the format leaves open is as in Pillow: a frame that reaches beyond the screen enlarges it;
// beside a smaller one lies the transparent index, or index 0; indices beyond the palette are
// black; without a palette indices are gray; bytes between blocks are skipped.
#include <gif_lib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "fvlm/error.hpp"
#include "kernels/support/make_error.hpp"
#include "runtime/image/formats.hpp"
#include "runtime/image/limits.hpp"

namespace fvlm::image_formats {
namespace {

class GifReader final : public ImageReader {
 public:
  GifReader(Bytes bytes, std::string_view name, const ImageOptions& options)
      : bytes_(bytes), name_(name) {
    int error = 0;
    file_.reset(DGifOpen(this, &on_read, &error));
    if (file_ == nullptr) fail(error);
    find_frame();
    const GifImageDesc& frame = file_->Image;
    info_.width = std::max(file_->SWidth, frame.Left + frame.Width);
    info_.height = std::max(file_->SHeight, frame.Top + frame.Height);
    if (frame.Interlace) info_.memory = frame_bytes();
    check_size(info_, name_, options);
    if (frame.Width == 0 || frame.Height == 0) {
      throw make_error("{}: cannot decode this GIF (an empty frame)", name_);
    }
    fill_colors(options.background);
  }

  void read_row(std::uint8_t* rgb) override {
    const GifImageDesc& frame = file_->Image;
    const std::int64_t y = row_++ - frame.Top;
    const bool is_outside = y < 0 || y >= frame.Height;
    const GifPixelType* const indices = is_outside ? nullptr : read_indices(y);
    for (std::int64_t x = 0; x < info_.width; ++x) {
      const std::int64_t column = x - frame.Left;
      const bool is_inside = !is_outside && column >= 0 && column < frame.Width;
      std::memcpy(rgb + x * 3, colors_[is_inside ? indices[column] : outside_].data(), 3);
    }
  }

 private:
  using Color = std::array<std::uint8_t, 3>;

  struct Close {
    void operator()(GifFileType* file) const { DGifCloseFile(file, nullptr); }
  };

  static int on_read(GifFileType* file, GifByteType* out, int size) {
    auto& self = *static_cast<GifReader*>(file->UserData);
    if (self.bytes_.empty() && !self.is_at_end_ && size == 1) {
      // The end of the last image's data may be missing: it says nothing of the pixels.
      self.is_at_end_ = true;
      *out = 0;
      return 1;
    }
    const std::size_t count = std::min(static_cast<std::size_t>(size), self.bytes_.size());
    if (count < static_cast<std::size_t>(size)) self.is_at_end_ = true;
    if (count > 0) std::memcpy(out, self.bytes_.data(), count);
    self.bytes_ = self.bytes_.subspan(count);
    return static_cast<int>(count);
  }

  [[noreturn]] void fail(int error) const {
    if (is_at_end_) throw make_error("{}: truncated GIF (the data ends early)", name_);
    const char* const reason = GifErrorString(error);
    throw make_error("{}: cannot decode this GIF ({})", name_,
                     reason == nullptr ? "damaged" : reason);
  }
  void check(int status) const {
    if (status == GIF_ERROR) fail(file_->Error);
  }

  // Reads up to the first frame's data and notes the transparent index.
  void find_frame() {
    for (;;) {
      GifRecordType record = UNDEFINED_RECORD_TYPE;
      const int status = DGifGetRecordType(file_.get(), &record);
      if (status == GIF_ERROR && file_->Error == D_GIF_ERR_WRONG_RECORD) continue;
      check(status);
      if (record == IMAGE_DESC_RECORD_TYPE) return check(DGifGetImageDesc(file_.get()));
      if (record == TERMINATE_RECORD_TYPE) {
        throw make_error("{}: cannot decode this GIF (no frame)", name_);
      }
      skip_extension();
    }
  }

  void skip_extension() {
    int code = 0;
    GifByteType* block = nullptr;  // its length and its bytes
    check(DGifGetExtension(file_.get(), &code, &block));
    if (code == GRAPHICS_EXT_FUNC_CODE && block != nullptr && block[0] >= 4 &&
        (block[1] & 1) != 0) {
      transparent_ = block[4];
    }
    while (block != nullptr) check(DGifGetExtensionNext(file_.get(), &block));
  }

  void fill_colors(const Color& background) {
    const ColorMapObject* const local = file_->Image.ColorMap;
    const ColorMapObject* const map = local != nullptr ? local : file_->SColorMap;
    // A palette of grays in order is none to Pillow, so that what it lacks is gray too.
    bool is_gray = true;
    const int count = map == nullptr ? 0 : map->ColorCount;
    for (int i = 0; i < count; ++i) {
      const GifColorType& color = map->Colors[i];
      colors_[static_cast<std::size_t>(i)] = {color.Red, color.Green, color.Blue};
      is_gray = is_gray && color.Red == i && color.Green == i && color.Blue == i;
    }
    for (std::size_t i = 0; is_gray && i < colors_.size(); ++i) {
      colors_[i].fill(static_cast<std::uint8_t>(i));
    }
    if (transparent_) colors_[*transparent_] = background;
    outside_ = transparent_.value_or(0);
  }

  std::size_t frame_bytes() const {
    const GifImageDesc& frame = file_->Image;
    return static_cast<std::size_t>(frame.Width) * static_cast<std::size_t>(frame.Height);
  }

  // The indices of the frame's next row, [frame width].
  const GifPixelType* read_indices(std::int64_t y) {
    const GifImageDesc& frame = file_->Image;
    const auto width = static_cast<std::size_t>(frame.Width);
    if (!frame.Interlace) {
      indices_.resize(width);
      check(DGifGetLine(file_.get(), indices_.data(), frame.Width));
      return indices_.data();
    }
    if (indices_.empty()) {
      indices_.resize(frame_bytes());
      constexpr std::array<std::array<int, 2>, 4> kPasses = {{{0, 8}, {4, 8}, {2, 4}, {1, 2}}};
      for (const auto& [first, step] : kPasses) {
        for (int row = first; row < frame.Height; row += step) {
          check(DGifGetLine(file_.get(), indices_.data() + static_cast<std::size_t>(row) * width,
                            frame.Width));
        }
      }
    }
    return indices_.data() + static_cast<std::size_t>(y) * width;
  }

  Bytes bytes_;  // not yet read
  std::string name_;
  bool is_at_end_ = false;  // more was asked for than there is
  std::unique_ptr<GifFileType, Close> file_;
  std::optional<std::uint8_t> transparent_;
  std::array<Color, 256> colors_ = {};
  std::uint8_t outside_ = 0;           // the index beside the frame
  std::vector<GifPixelType> indices_;  // [frame width], or [frame height, frame width] interlaced
  std::int64_t row_ = 0;
};

}  // namespace

std::unique_ptr<ImageReader> open_gif(Bytes bytes, std::string_view name,
                                      const ImageOptions& options) {
  return std::make_unique<GifReader>(bytes, name, options);
}

}  // namespace fvlm::image_formats
