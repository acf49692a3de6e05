#include "capture/encoder.hpp"

#include <algorithm>
#include <ctime>
#include <memory>
#include <stdexcept>
#include <utility>

#include "capture/source/jpeg_orientation.hpp"

namespace fvlm::capture {
namespace {

// Time this thread has had a processor, in microseconds.
std::uint64_t busy_micros() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

// The fewest eighths of `width` that are not under `wanted`.
int eighths_for(int width, int wanted) {
  return std::clamp((wanted * 8 + width - 1) / width, 1, 8);
}

Picture picture_of(Jpeg jpeg, const Frame& frame) {
  const auto made = std::make_shared<const Jpeg>(std::move(jpeg));
  return {{{{made->bytes.data(), made->bytes.size()}}},
          made->width,
          made->height,
          frame.number,
          frame.taken,
          made};
}

// The JPEG where it is, with Huffman tables between its head and its rest if it has none.
Picture pass(const JpegHeader& header, const Frame& frame) {
  Picture picture{{}, header.width, header.height, frame.number, frame.taken, frame.hold};
  const std::uint8_t* const data = frame.bytes.data;
  const std::size_t head = header.tables_belong_at;
  if (head == 0) {
    picture.pieces[0] = {data, header.size};
  } else {
    picture.pieces = {
        {{data, head}, JpegCodec::huffman_tables(), {data + head, header.size - head}}};
  }
  return picture;
}

}  // namespace

Picture Encoder::encode(const Frame& frame) {
  const std::uint64_t start = busy_micros();
  std::uint64_t copied = 0;
  Picture picture;
  if (const auto planes = planes_of(frame)) {
    picture = from_planes(frame, *planes, copied);
  } else {
    picture = from_jpeg(frame, copied);
  }
  counters_.copied_rows.add(copied);
  counters_.encode_micros.add(busy_micros() - start);
  return picture;
}

Picture Encoder::from_planes(const Frame& frame, const Planes& planes, std::uint64_t& copied) {
  const Transform& transform = options_.transform;
  const Planes seen =
      transform.changes() ? transformed(planes, transform, frame.width, frame.height) : planes;
  const int factor = std::max(1, seen.of[0].width / options_.width);
  counters_.compressed.add();
  return picture_of(codec_.compress(seen, factor, options_.quality, copied), frame);
}

Picture Encoder::from_jpeg(const Frame& frame, std::uint64_t& copied) {
  const auto header = read_jpeg_header(frame.bytes);
  if (!header) throw std::runtime_error("no whole JPEG");
  if (options_.transform.changes() || header->orientation != 1) {
    return turned(frame, *header, copied);
  }
  const int eighths = eighths_for(header->width, options_.width);
  if (eighths == 8 && header->quality <= options_.max_quality) {
    counters_.passed.add();
    return pass(*header, frame);
  }
  counters_.rescaled.add();
  // libjpeg fills in the missing Huffman tables by itself.
  return picture_of(codec_.rescale(frame.bytes, eighths, options_.quality, copied), frame);
}

// Areas are those of the upright picture, as a viewer of images shows it.
Picture Encoder::turned(const Frame& frame, const JpegHeader& header, std::uint64_t& copied) {
  const Transform& transform = options_.transform;
  const bool on_its_side = header.orientation >= 5;
  const int width = on_its_side ? header.height : header.width;
  const int height = on_its_side ? header.width : header.height;
  const int wanted = width_after(transform, width, height);
  Planes planes = codec_.decode(frame.bytes, eighths_for(wanted, options_.width));
  if (header.orientation != 1) {
    planes = transformed(planes, upright(header.orientation), header.width, header.height);
  }
  if (transform.changes()) planes = transformed(planes, transform, width, height);
  counters_.transformed.add();
  return picture_of(codec_.compress(planes, 1, options_.quality, copied), frame);
}

}  // namespace fvlm::capture
