// WebP through libwebp. The container is taken apart by libwebpdemux, which knows all three file
// layouts (lossy, lossless, extended) alike; the first frame is decoded into its place on the
// canvas. What an animation's first frame leaves free stays black.
#include <webp/decode.h>
#include <webp/demux.h>

#include <memory>

#include "fvlm/core/error.hpp"
#include "runtime/image_formats.hpp"

namespace fvlm::image_formats {

Image decode_webp(Bytes bytes, std::string_view name, const ImageLimits& limits) {
  const WebPData data = {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
  WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
  const std::unique_ptr<WebPDemuxer, void (*)(WebPDemuxer*)> demuxer(
      WebPDemuxPartial(&data, &state), &WebPDemuxDelete);
  if (state == WEBP_DEMUX_PARSING_HEADER) throw Error("{}: truncated WebP (no header)", name);
  if (demuxer == nullptr || state == WEBP_DEMUX_PARSE_ERROR) {
    throw Error("{}: cannot decode this WebP (damaged container)", name);
  }
  const std::int64_t width = WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_WIDTH);
  const std::int64_t height = WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_HEIGHT);
  check_size(width, height, name, limits);
  if (state != WEBP_DEMUX_DONE) throw Error("{}: truncated WebP (the data ends early)", name);

  WebPIterator frame = {};
  const std::unique_ptr<WebPIterator, void (*)(WebPIterator*)> release(&frame,
                                                                       &WebPDemuxReleaseIterator);
  WebPDecoderConfig config;
  if (WebPDemuxGetFrame(demuxer.get(), 1, &frame) == 0 || WebPInitDecoderConfig(&config) == 0) {
    throw Error("{}: cannot decode this WebP (no frame)", name);
  }
  Image image = blank_image(width, height, name, limits);
  // libwebp checks the frame against the buffer, libwebpdemux against the canvas.
  const std::int64_t row_bytes = width * 3;
  const std::int64_t offset = frame.y_offset * row_bytes + frame.x_offset * 3;
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = image.rgb.data() + offset;
  config.output.u.RGBA.stride = static_cast<int>(row_bytes);
  config.output.u.RGBA.size = image.rgb.size() - static_cast<std::size_t>(offset);
  const VP8StatusCode status = WebPDecode(frame.fragment.bytes, frame.fragment.size, &config);
  if (status != VP8_STATUS_OK) {
    throw Error("{}: cannot decode this WebP (libwebp status {})", name, static_cast<int>(status));
  }
  return image;
}

}  // namespace fvlm::image_formats
