// AV1 through libdav1d, which has a limit of its own for the size of a frame. That of all frames
// which it holds at a time, up to nine, is counted where they are allocated.
#include <dav1d/dav1d.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "fvlm/error.hpp"
#include "runtime/image/heif_plugin.hpp"

namespace fvlm::image_formats {
namespace {

static_assert(static_cast<int>(heif_chroma_monochrome) == DAV1D_PIXEL_LAYOUT_I400 &&
              static_cast<int>(heif_chroma_420) == DAV1D_PIXEL_LAYOUT_I420 &&
              static_cast<int>(heif_chroma_422) == DAV1D_PIXEL_LAYOUT_I422 &&
              static_cast<int>(heif_chroma_444) == DAV1D_PIXEL_LAYOUT_I444);

// How a frame lies in memory, as Dav1dPicAllocator asks for it.
struct FrameLayout {
  explicit FrameLayout(const Dav1dPictureParameters& frame) {
    const auto padded = [](int side) { return (static_cast<std::size_t>(side) + 127) / 128 * 128; };
    // Rows a power of two apart would share few lines of a processor's cache.
    const auto apart = [](std::size_t bytes) {
      return bytes % 1024 == 0 ? bytes + DAV1D_PICTURE_ALIGNMENT : bytes;
    };
    const std::size_t row = padded(frame.w) * (frame.bpc > 8 ? 2 : 1);
    luma_stride = apart(row);
    luma_bytes = luma_stride * padded(frame.h);
    if (frame.layout == DAV1D_PIXEL_LAYOUT_I400) return;
    chroma_stride = apart(frame.layout == DAV1D_PIXEL_LAYOUT_I444 ? row : row / 2);
    chroma_bytes =
        chroma_stride * padded(frame.h) / (frame.layout == DAV1D_PIXEL_LAYOUT_I420 ? 2 : 1);
  }
  std::size_t bytes() const { return luma_bytes + 2 * chroma_bytes + DAV1D_PICTURE_ALIGNMENT; }

  std::size_t luma_stride = 0;
  std::size_t luma_bytes = 0;
  std::size_t chroma_stride = 0;
  std::size_t chroma_bytes = 0;
};

class Av1Decoder {
 public:
  static constexpr heif_compression_format kFormat = heif_compression_AV1;
  static constexpr const char* kName = "fastvlm-dav1d";

  explicit Av1Decoder(const CodedLimit& limit) {
    // Two frames of three whole planes, or four with chroma of half the size, and what pads their
    // rows: enough for film grain and for layers.
    constexpr std::uint64_t kPlanes = 7;
    const auto pixels = static_cast<std::uint64_t>(limit.pixels);
    bytes_left_ = pixels * kPlanes * static_cast<std::uint64_t>(limit.sample_bytes);
    Dav1dSettings settings;
    dav1d_default_settings(&settings);
    settings.n_threads = 1;
    settings.all_layers = 0;
    settings.frame_size_limit = static_cast<unsigned>(
        std::min<std::uint64_t>(pixels, std::numeric_limits<unsigned>::max()));
    settings.allocator = {this, &allocate, &release};
    settings.logger = {nullptr, nullptr};
    if (dav1d_open(&context_, &settings) != 0) throw Error("libdav1d cannot be opened");
  }
  ~Av1Decoder() {
    dav1d_picture_unref(&frame_);
    dav1d_data_unref(&data_);
    dav1d_close(&context_);
  }
  Av1Decoder(const Av1Decoder&) = delete;
  Av1Decoder& operator=(const Av1Decoder&) = delete;

  void push(Bytes bytes) {
    if (bytes.empty() || data_.sz > 0) throw Error("no AV1 data");
    std::uint8_t* copy = dav1d_data_create(&data_, bytes.size());
    if (copy == nullptr) throw Error("no memory for AV1 data");
    std::memcpy(copy, bytes.data(), bytes.size());
  }

  heif_image* decode() {
    // A frame may be ready only when libdav1d has been asked once more after the last data.
    for (bool is_last = false;;) {
      if (data_.sz > 0) require(dav1d_send_data(context_, &data_), DAV1D_ERR(EAGAIN));
      const int result = dav1d_get_picture(context_, &frame_);
      if (result == 0) break;
      require(result, is_last ? 0 : DAV1D_ERR(EAGAIN));
      is_last = data_.sz == 0;
    }
    return copy_for_heif(decoded());
  }

 private:
  // Throws unless `result` is success or `other`.
  void require(int result, int other) const {
    if (result == DAV1D_ERR(ERANGE)) throw Error(kLargerThanDeclared);
    if (has_refused_) throw Error("it is coded as too many frames");
    if (result < 0 && result != other) throw Error("its AV1 data is damaged");
  }

  DecodedPicture decoded() const {
    const Dav1dPictureParameters& size = frame_.p;
    DecodedPicture picture;
    picture.chroma = static_cast<heif_chroma>(size.layout);
    picture.bits = size.bpc;
    const bool is_half_wide = picture.chroma != heif_chroma_444;
    const bool is_half_high = picture.chroma == heif_chroma_420;
    for (std::size_t c = 0; c < 3; ++c) {
      picture.planes[c] = {static_cast<const std::uint8_t*>(frame_.data[c]),
                           frame_.stride[c > 0 ? 1 : 0],
                           c > 0 && is_half_wide ? (size.w + 1) / 2 : size.w,
                           c > 0 && is_half_high ? (size.h + 1) / 2 : size.h};
    }
    picture.primaries = frame_.seq_hdr->pri;
    picture.transfer = frame_.seq_hdr->trc;
    picture.matrix = frame_.seq_hdr->mtrx;
    picture.is_full_range = frame_.seq_hdr->color_range != 0;
    return picture;
  }

  static int allocate(Dav1dPicture* frame, void* decoder) {
    auto& self = *static_cast<Av1Decoder*>(decoder);
    const FrameLayout layout(frame->p);
    if (layout.bytes() > self.bytes_left_) {
      self.has_refused_ = true;
      return DAV1D_ERR(ENOMEM);
    }
    auto* const memory =
        static_cast<std::uint8_t*>(std::aligned_alloc(DAV1D_PICTURE_ALIGNMENT, layout.bytes()));
    if (memory == nullptr) return DAV1D_ERR(ENOMEM);
    self.bytes_left_ -= layout.bytes();
    frame->allocator_data = memory;
    frame->data[0] = memory;
    frame->data[1] = layout.chroma_bytes > 0 ? memory + layout.luma_bytes : nullptr;
    frame->data[2] =
        layout.chroma_bytes > 0 ? memory + layout.luma_bytes + layout.chroma_bytes : nullptr;
    frame->stride[0] = static_cast<std::ptrdiff_t>(layout.luma_stride);
    frame->stride[1] = static_cast<std::ptrdiff_t>(layout.chroma_stride);
    return 0;
  }

  static void release(Dav1dPicture* frame, void* decoder) {
    static_cast<Av1Decoder*>(decoder)->bytes_left_ += FrameLayout(frame->p).bytes();
    std::free(frame->allocator_data);
  }

  std::uint64_t bytes_left_ = 0;  // for frames
  bool has_refused_ = false;      // a frame, for want of them
  Dav1dContext* context_ = nullptr;
  Dav1dData data_{};
  Dav1dPicture frame_{};
};

}  // namespace

const heif_decoder_plugin& av1_plugin() {
  static const heif_decoder_plugin plugin = as_heif_plugin<Av1Decoder>();
  return plugin;
}

}  // namespace fvlm::image_formats
