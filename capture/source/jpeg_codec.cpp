// libjpeg reports an error by a function that must not return: ours notes the message and jumps
// back to `run`. Steps hold no object with a destructor, so the jump is an ordinary one in C++.
#include "capture/source/jpeg_codec.hpp"

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdio>
#include <stdexcept>
#include <utility>

// This one relies on what is included before it.
#include <jpeglib.h>

namespace fvlm::capture {
class JpegCodec::Impl {
 public:
  Impl() {
    error_.error_exit = &on_error;
    error_.emit_message = &on_message;
    run([](Impl& self) {
      self.out_.err = self.in_.err = &self.error_;
      self.out_.client_data = self.in_.client_data = &self;
      jpeg_create_compress(&self.out_);
      jpeg_create_decompress(&self.in_);
    });
    to_.manager.init_destination = &Destination::begin;
    to_.manager.empty_output_buffer = &Destination::grow;
    to_.manager.term_destination = &Destination::end;
    out_.dest = &to_.manager;
  }
  ~Impl() {
    jpeg_destroy_compress(&out_);
    jpeg_destroy_decompress(&in_);
  }

  Jpeg compress(const Planes& planes, int factor, int quality, std::uint64_t& copied) {
    planes_ = &planes;
    factor_ = factor;
    quality_ = quality;
    copied_ = 0;
    // A chroma sample is not divided.
    width_ = planes.of[0].width / factor / planes.chroma_x * planes.chroma_x;
    height_ = planes.of[0].height / factor / planes.chroma_y * planes.chroma_y;
    if (width_ < planes.chroma_x || height_ < planes.chroma_y) {
      throw std::runtime_error("a picture without pixels");
    }
    prepare_rows();
    run([](Impl& self) { self.write_planes(); });
    copied += copied_;
    return take();
  }

  Jpeg rescale(Bytes jpeg, int eighths, int quality, std::uint64_t& copied) {
    from_ = jpeg;
    eighths_ = eighths;
    quality_ = quality;
    copied_ = 0;
    run([](Impl& self) { self.read_header(); });
    rows_.resize(std::size_t{in_.output_width} * 3);
    run([](Impl& self) { self.write_scaled(); });
    copied += copied_;
    return take();
  }

  // Samples of the colour are those of every second pixel in every second row, and that is all
  // there are in most JPEGs.
  Planes decode(Bytes jpeg, int eighths) {
    from_ = jpeg;
    eighths_ = eighths;
    run([](Impl& self) { self.read_header(); });
    const int width = static_cast<int>(in_.output_width);
    const int height = static_cast<int>(in_.output_height);
    const bool grey = in_.out_color_space == JCS_GRAYSCALE;
    const std::ptrdiff_t step = grey ? 1 : 3;
    const std::ptrdiff_t stride = step * width;
    decoded_.resize(static_cast<std::size_t>(stride * height));
    run([](Impl& self) { self.read_rows(); });
    const JSAMPLE* const data = decoded_.data();
    if (grey) return {1, {{{data, stride, step, width, height}}}, 1, 1, {}};
    return {3,
            {{{data, stride, step, width, height},
              {data + 1, 2 * stride, 2 * step, width / 2, height / 2},
              {data + 2, 2 * stride, 2 * step, width / 2, height / 2}}},
            2,
            2,
            {}};
  }

  // The DHT segment that libjpeg would write by default.
  std::vector<std::uint8_t> huffman_tables() {
    run([](Impl& self) {
      self.out_.in_color_space = JCS_YCbCr;
      self.out_.input_components = 3;
      jpeg_set_defaults(&self.out_);
    });
    std::vector<std::uint8_t> segment = {0xFF, 0xC4, 0, 0};
    for (std::uint8_t number = 0; number < 2; ++number) {
      append(segment, number, *out_.dc_huff_tbl_ptrs[number]);
      append(segment, static_cast<std::uint8_t>(0x10 | number), *out_.ac_huff_tbl_ptrs[number]);
    }
    const std::size_t length = segment.size() - 2;
    segment[2] = static_cast<std::uint8_t>(length >> 8);
    segment[3] = static_cast<std::uint8_t>(length & 255);
    return segment;
  }

 private:
  // The result grows in a vector that is then handed on.
  struct Destination {
    jpeg_destination_mgr manager{};
    std::vector<std::uint8_t> bytes{};
    std::size_t expected = std::size_t{64} << 10;

    static Destination& of(j_compress_ptr info) {
      return *static_cast<Destination*>(static_cast<void*>(info->dest));
    }
    static void begin(j_compress_ptr info) {
      Destination& self = of(info);
      self.bytes.resize(self.expected);
      self.point(0);
    }
    static boolean grow(j_compress_ptr info) {
      Destination& self = of(info);
      const std::size_t used = self.bytes.size();
      self.bytes.resize(2 * used);
      self.point(used);
      return TRUE;
    }
    static void end(j_compress_ptr info) {
      Destination& self = of(info);
      self.bytes.resize(self.bytes.size() - self.manager.free_in_buffer);
      self.expected = std::max(self.expected, self.bytes.size() * 5 / 4);
    }
    void point(std::size_t used) {
      manager.next_output_byte = bytes.data() + used;
      manager.free_in_buffer = bytes.size() - used;
    }
  };

  static constexpr int kMaxRows = 2 * DCTSIZE;
  using RowPointers = std::array<JSAMPROW, kMaxRows>;

  static Impl& owner(j_common_ptr info) { return *static_cast<Impl*>(info->client_data); }

  [[noreturn]] static void on_error(j_common_ptr info) {
    Impl& self = owner(info);
    info->err->format_message(info, self.message_);
    std::longjmp(self.failed_, 1);
  }
  // Negative levels are warnings about damaged data, the others are news.
  static void on_message(j_common_ptr info, int level) {
    if (level < 0) on_error(info);
  }

  void run(void (*step)(Impl&)) {
    if (setjmp(failed_) != 0) {
      jpeg_abort_compress(&out_);
      jpeg_abort_decompress(&in_);
      throw std::runtime_error(message_);
    }
    step(*this);
  }

  Jpeg take() { return {std::exchange(to_.bytes, {}), width_, height_}; }

  // Room for the planes whose rows cannot be taken where they lie.
  void prepare_rows() {
    std::size_t needed = 0;
    for (int c = 0; c < planes_->count; ++c) needed += direct(c) ? 0 : padded(c) * rows_of(c);
    rows_.resize(needed);
  }
  int across(int c) const { return c == 0 ? planes_->chroma_x : 1; }
  std::size_t rows_of(int c) const {
    return static_cast<std::size_t>(DCTSIZE * (c == 0 ? planes_->chroma_y : 1));
  }
  int width_of(int c) const { return c == 0 ? width_ : width_ / planes_->chroma_x; }
  int height_of(int c) const { return c == 0 ? height_ : height_ / planes_->chroma_y; }
  // libjpeg reads whole blocks, and as many as a unit of the scan has.
  std::size_t padded(int c) const {
    const int block = DCTSIZE * across(c);
    const int blocks = (width_of(c) + block - 1) / block;
    return static_cast<std::size_t>(blocks) * static_cast<std::size_t>(block);
  }
  bool direct(int c) const {
    return factor_ == 1 && planes_->black.empty() &&
           planes_->of[static_cast<std::size_t>(c)].step == 1 &&
           padded(c) == static_cast<std::size_t>(width_of(c));
  }

  void write_planes() {
    set_up_output(planes_->count == 1 ? JCS_GRAYSCALE : JCS_YCbCr);
    for (int c = 0; c < planes_->count; ++c) {
      out_.comp_info[c].h_samp_factor = across(c);
      out_.comp_info[c].v_samp_factor = c == 0 ? planes_->chroma_y : 1;
    }
    out_.raw_data_in = TRUE;
    jpeg_start_compress(&out_, TRUE);
    const int band = DCTSIZE * planes_->chroma_y;
    std::array<RowPointers, 3> pointers;
    std::array<JSAMPARRAY, 3> arrays;
    while (out_.next_scanline < out_.image_height) {
      JSAMPROW buffer = rows_.data();
      for (int c = 0; c < planes_->count; ++c) {
        const auto index = static_cast<std::size_t>(c);
        const int line = static_cast<int>(out_.next_scanline);
        const int first = c == 0 ? line : line / planes_->chroma_y;
        buffer = point_rows(c, first, buffer, pointers[index]);
        arrays[index] = pointers[index].data();
      }
      jpeg_write_raw_data(&out_, arrays.data(), static_cast<JDIMENSION>(band));
    }
    jpeg_finish_compress(&out_);
  }

  // Rows `first` and on of a component, the last again and again below the picture. Returns what is
  // left of the buffer.
  JSAMPROW point_rows(int c, int first, JSAMPROW buffer, RowPointers& pointers) {
    const Plane& plane = planes_->of[static_cast<std::size_t>(c)];
    const int rows = static_cast<int>(rows_of(c));
    const int width = width_of(c);
    for (int r = 0; r < rows; ++r) {
      const int y = first + r;
      const auto slot = static_cast<std::size_t>(r);
      if (y >= height_of(c)) {
        pointers[slot] = pointers[slot - 1];
      } else if (direct(c)) {
        // libjpeg's interface lacks the const; it does not write there.
        pointers[slot] = const_cast<JSAMPROW>(plane.data + y * plane.stride);
      } else {
        copy_row(plane, factor_, y, width, buffer);
        for (const Box& box : planes_->black) blacken(box, c, y, width, buffer);
        std::fill(buffer + width, buffer + padded(c), buffer[width - 1]);
        copied_ += static_cast<std::uint64_t>(width);
        pointers[slot] = buffer;
        buffer += padded(c);
      }
    }
    return buffer;
  }

  // What a box hides of row `y` of a component: all samples that have a part in it.
  void blacken(const Box& box, int c, int y, int width, JSAMPROW row) const {
    constexpr JSAMPLE kBlack = 0;
    constexpr JSAMPLE kNoColor = CENTERJSAMPLE;
    const int down = factor_ * (c == 0 ? 1 : planes_->chroma_y);
    if ((y + 1) * down <= box.y || y * down >= box.y + box.height) return;
    const int over = factor_ * (c == 0 ? 1 : planes_->chroma_x);
    const int from = std::min(box.x / over, width);
    const int to = std::clamp((box.x + box.width + over - 1) / over, from, width);
    std::fill(row + from, row + to, c == 0 ? kBlack : kNoColor);
  }

  void set_up_output(J_COLOR_SPACE space) {
    out_.image_width = static_cast<JDIMENSION>(width_);
    out_.image_height = static_cast<JDIMENSION>(height_);
    out_.in_color_space = space;
    out_.input_components = space == JCS_GRAYSCALE ? 1 : 3;
    jpeg_set_defaults(&out_);
    jpeg_set_quality(&out_, quality_, TRUE);
    out_.dct_method = JDCT_ISLOW;
  }

  void read_header() {
    jpeg_mem_src(&in_, from_.data, static_cast<unsigned long>(from_.size));
    jpeg_read_header(&in_, TRUE);
    in_.scale_num = static_cast<unsigned>(eighths_);
    in_.scale_denom = DCTSIZE;
    in_.out_color_space = in_.jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_YCbCr;
    in_.do_fancy_upsampling = FALSE;
    jpeg_calc_output_dimensions(&in_);
  }

  void write_scaled() {
    jpeg_start_decompress(&in_);
    width_ = static_cast<int>(in_.output_width);
    height_ = static_cast<int>(in_.output_height);
    set_up_output(in_.out_color_space);
    out_.raw_data_in = FALSE;
    jpeg_start_compress(&out_, TRUE);
    JSAMPROW row = rows_.data();
    while (in_.output_scanline < in_.output_height) {
      jpeg_read_scanlines(&in_, &row, 1);
      jpeg_write_scanlines(&out_, &row, 1);
      copied_ += in_.output_width * static_cast<std::uint64_t>(in_.output_components);
    }
    jpeg_finish_compress(&out_);
    jpeg_finish_decompress(&in_);  // reads up to the end marker: a cut there is found too
  }

  void read_rows() {
    jpeg_start_decompress(&in_);
    const std::size_t stride = in_.output_width * static_cast<std::size_t>(in_.output_components);
    while (in_.output_scanline < in_.output_height) {
      JSAMPROW row = decoded_.data() + in_.output_scanline * stride;
      jpeg_read_scanlines(&in_, &row, 1);
    }
    jpeg_finish_decompress(&in_);
  }

  // Only the lengths that are used have values.
  static void append(std::vector<std::uint8_t>& segment, std::uint8_t name,
                     const JHUFF_TBL& table) {
    segment.push_back(name);
    int values = 0;
    for (int length = 1; length <= 16; ++length) {
      segment.push_back(table.bits[length]);
      values += table.bits[length];
    }
    segment.insert(segment.end(), table.huffval, table.huffval + values);
  }

  jpeg_error_mgr error_storage_ = {};
  jpeg_error_mgr& error_ = *jpeg_std_error(&error_storage_);
  jpeg_compress_struct out_ = {};
  jpeg_decompress_struct in_ = {};
  std::jmp_buf failed_ = {};
  char message_[JMSG_LENGTH_MAX] = {};
  Destination to_{};
  Bytes from_{};
  const Planes* planes_ = nullptr;
  int factor_ = 1;
  int eighths_ = DCTSIZE;
  int quality_ = 85;
  int width_ = 0;  // of the result
  int height_ = 0;
  std::uint64_t copied_ = 0;
  std::vector<JSAMPLE> rows_{};
  std::vector<JSAMPLE> decoded_{};
};

JpegCodec::JpegCodec() : impl_(std::make_unique<Impl>()) {}
JpegCodec::~JpegCodec() = default;

Jpeg JpegCodec::compress(const Planes& planes, int factor, int quality, std::uint64_t& copied) {
  return impl_->compress(planes, factor, quality, copied);
}

Jpeg JpegCodec::rescale(Bytes jpeg, int eighths, int quality, std::uint64_t& copied) {
  return impl_->rescale(jpeg, eighths, quality, copied);
}

Planes JpegCodec::decode(Bytes jpeg, int eighths) {
  return impl_->decode(jpeg, eighths);
}

Bytes JpegCodec::huffman_tables() {
  static const std::vector<std::uint8_t> kSegment = Impl().huffman_tables();
  return {kSegment.data(), kSegment.size()};
}

}  // namespace fvlm::capture
