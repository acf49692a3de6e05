// WebP through libwebp. The container is taken apart by libwebpdemux, which knows all three file
// layouts (lossy, lossless, extended) alike; the first frame is decoded into its place on the
// canvas, whose rest is transparent, or black if the file knows no transparency. libwebp decodes
// whole pictures only.
#include <webp/decode.h>
#include <webp/demux.h>

#include <cstring>
#include <string>
#include <vector>

#include "kernels/support/make_error.hpp"
#include "runtime/image/background.hpp"
#include "runtime/image/exif.hpp"
#include "runtime/image/formats.hpp"
#include "runtime/image/limits.hpp"

namespace fvlm::image_formats {
namespace {

using Demuxer = std::unique_ptr<WebPDemuxer, void (*)(WebPDemuxer*)>;

class WebPReader final : public ImageReader {
 public:
  WebPReader(Bytes bytes, std::string_view name, const ImageOptions& options)
      : name_(name), background_(options.background), demuxer_(open(bytes, name)) {
    const std::uint32_t flags = value_of(WEBP_FF_FORMAT_FLAGS);
    channels_ = (flags & ALPHA_FLAG) != 0 ? 4 : 3;
    info_.width = value_of(WEBP_FF_CANVAS_WIDTH);
    info_.height = value_of(WEBP_FF_CANVAS_HEIGHT);
    if (options.apply_orientation && (flags & EXIF_FLAG) != 0) info_.orientation = orientation();
    // The pixels, and what libwebp keeps of a lossless picture.
    constexpr std::size_t kOwn = 4;
    info_.memory = static_cast<std::size_t>(info_.width * info_.height) * (channels_ + kOwn);
    check_size(info_, name_, options);
    if (!is_whole_) throw make_error("{}: truncated WebP (the data ends early)", name_);
  }

  void read_row(std::uint8_t* rgb) override {
    if (pixels_.empty()) decode();
    const std::uint8_t* row = pixels_.data() + row_bytes() * static_cast<std::size_t>(rows_read_);
    ++rows_read_;
    if (channels_ == 4) {
      show_background(row, info_.width, background_, rgb);
    } else {
      std::memcpy(rgb, row, row_bytes());
    }
  }

 private:
  Demuxer open(Bytes bytes, std::string_view name) {
    const WebPData data = {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
    WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
    Demuxer demuxer(WebPDemuxPartial(&data, &state), &WebPDemuxDelete);
    if (state == WEBP_DEMUX_PARSING_HEADER)
      throw make_error("{}: truncated WebP (no header)", name);
    if (demuxer == nullptr || state == WEBP_DEMUX_PARSE_ERROR) {
      throw make_error("{}: cannot decode this WebP (damaged container)", name);
    }
    is_whole_ = state == WEBP_DEMUX_DONE;
    return demuxer;
  }

  std::uint32_t value_of(WebPFormatFeature feature) const {
    return WebPDemuxGetI(demuxer_.get(), feature);
  }
  std::size_t row_bytes() const { return static_cast<std::size_t>(info_.width) * channels_; }

  int orientation() const {
    WebPChunkIterator chunk = {};
    const std::unique_ptr<WebPChunkIterator, void (*)(WebPChunkIterator*)> release(
        &chunk, &WebPDemuxReleaseChunkIterator);
    if (WebPDemuxGetChunk(demuxer_.get(), "EXIF", 1, &chunk) == 0) return 1;
    return exif_orientation(
        {reinterpret_cast<const std::byte*>(chunk.chunk.bytes), chunk.chunk.size});
  }

  void decode() {
    WebPIterator frame = {};
    const std::unique_ptr<WebPIterator, void (*)(WebPIterator*)> release(&frame,
                                                                         &WebPDemuxReleaseIterator);
    WebPDecoderConfig config;
    if (WebPDemuxGetFrame(demuxer_.get(), 1, &frame) == 0 || WebPInitDecoderConfig(&config) == 0) {
      throw make_error("{}: cannot decode this WebP (no frame)", name_);
    }
    pixels_.resize(row_bytes() * static_cast<std::size_t>(info_.height));
    // libwebp checks the frame against the buffer, libwebpdemux against the canvas.
    const std::size_t offset = static_cast<std::size_t>(frame.y_offset) * row_bytes() +
                               static_cast<std::size_t>(frame.x_offset) * channels_;
    config.output.colorspace = channels_ == 4 ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = pixels_.data() + offset;
    config.output.u.RGBA.stride = static_cast<int>(row_bytes());
    config.output.u.RGBA.size = pixels_.size() - offset;
    const VP8StatusCode status = WebPDecode(frame.fragment.bytes, frame.fragment.size, &config);
    if (status != VP8_STATUS_OK) {
      throw make_error("{}: cannot decode this WebP (libwebp status {})", name_,
                       static_cast<int>(status));
    }
  }

  std::string name_;
  std::array<std::uint8_t, 3> background_;
  bool is_whole_ = false;
  Demuxer demuxer_;
  std::size_t channels_ = 0;          // 3, or 4 with alpha
  std::vector<std::uint8_t> pixels_;  // [height, width, channels], once a row is asked for
  std::int64_t rows_read_ = 0;
};

}  // namespace

std::unique_ptr<ImageReader> open_webp(Bytes bytes, std::string_view name,
                                       const ImageOptions& options) {
  return std::make_unique<WebPReader>(bytes, name, options);
}

}  // namespace fvlm::image_formats
