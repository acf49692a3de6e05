// AV1 and HEVC pictures whose coded sizes can be chosen. What they show is noise.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "tests/runtime/image/bit_writer.hpp"
#include "tests/runtime/image/heif_writer.hpp"

namespace fvlm {

struct CodedSize {
  std::uint32_t width = 64;
  std::uint32_t height = 64;
};

// A whole AV1 picture in 4:2:0: its sequence header has the size `most`, its frames `coded`.
inline std::string av1_picture(CodedSize most, CodedSize coded, int hidden_frames = 0) {
  const auto unit = [](std::uint32_t type, const std::string& content) {
    std::string size;  // 7 bits a byte, least significant first
    for (std::size_t left = content.size(), i = 0; i < 4; ++i, left >>= 7) {
      size += big_endian((left & 127) | (i < 3 ? 128 : 0), 1);
    }
    return big_endian(type << 3 | 2, 1) + size + content;
  };
  const std::string noise(32 + coded.width * coded.height / 16, '\xff');
  const std::uint32_t is_other = most.width != coded.width || most.height != coded.height;
  BitWriter sequence;
  sequence.put(0, 5).put(0, 2).put(0, 5).put(0, 12).put(0, 5);  // profile, operating point
  sequence.put(15, 4).put(15, 4).put(most.width - 1, 16).put(most.height - 1, 16);
  sequence.put(0, 1).put(0, 3).put(0, 5).put(0, 2);            // no frame numbers, no tools
  sequence.put(0, 3).put(0, 4).put(0, 3).put(0, 1).put(1, 1);  // 4:2:0, no film grain; the end
  std::string picture = unit(2, "") + unit(1, sequence.bytes());
  for (int i = 0; i <= hidden_frames; ++i) {
    const bool is_shown = i == hidden_frames;
    BitWriter frame;
    frame.put(0, 3).put(is_shown, 1);  // a key frame
    if (!is_shown) frame.put(0, 1).put(1, 1);
    frame.put(0, 1).put(is_other, 1);
    if (!is_shown) frame.put(1U << i, 8);  // the slot that keeps it
    if (is_other) frame.put(coded.width - 1, 16).put(coded.height - 1, 16);
    frame.put(0, 1).put(1, 1);  // shown as large, no update of probabilities
    frame.put(1, 1).put(0, (coded.width > 64) + (coded.height > 64));  // one tile
    frame.put(100, 8).put(0, 4);                                       // quantiser
    frame.put(0, 2).put(0, 16);  // no segments, no loop filter
    frame.put(0, 2);             // transforms
    picture += unit(6, frame.bytes() + noise);
  }
  return picture;
}

inline std::string av1_config() {
  return heif_box("av1C", std::string("\x81\0\x0c\0", 4));
}

// Units without and with what keeps them free of start codes.
inline std::string without_escapes(const std::string& unit) {
  std::string bytes;
  int zeros = 0;
  for (const char byte : unit) {
    if (zeros < 2 || byte != 3) bytes.push_back(byte);
    zeros = byte == 0 ? zeros + 1 : 0;
  }
  return bytes;
}
inline std::string with_escapes(const std::string& bytes) {
  std::string unit;
  int zeros = 0;
  for (const char byte : bytes) {
    if (zeros == 2 && static_cast<unsigned char>(byte) <= 3) {
      unit.push_back(3);
      zeros = 0;
    }
    unit.push_back(byte);
    zeros = byte == 0 ? zeros + 1 : 0;
  }
  return unit;
}

// A HEVC sequence parameter set with another size, and samples of `more_bits` more.
inline std::string resized(const std::string& set, CodedSize coded, std::uint32_t more_bits = 0) {
  const std::string plain = without_escapes(set);
  BitReader in(plain);
  BitWriter out;
  const auto copy = [&](int bits) {
    const std::uint32_t value = in.bits(bits);
    out.put(value, bits);
    return value;
  };
  const auto copy_number = [&] {
    const std::uint32_t value = in.number();
    out.number(value);
    return value;
  };
  copy(20);
  if (copy(3) != 0) throw std::logic_error("a set with sub-layers");
  for (const int bits : {1, 32, 32, 32}) copy(bits);
  copy_number();
  if (copy_number() == 3) copy(1);
  in.number();
  in.number();
  out.number(coded.width).number(coded.height);
  if (copy(1) == 1) {
    for (int side = 0; side < 4; ++side) copy_number();
  }
  for (int plane = 0; plane < 2; ++plane) out.number(in.number() + more_bits);
  while (in.left() > 0) copy(1);
  return with_escapes(out.bytes());
}

// A HEIC's one picture: the units of its configuration, and those of its data.
struct HevcPicture {
  std::string config;              // the hvcC box's content before its units
  std::vector<std::string> units;  // of one each of the parameter sets
  std::string data;                // units with their lengths
};

inline constexpr int kVideoSet = 32, kSequenceSet = 33, kPictureSet = 34;

inline int unit_type(const std::string& unit) {
  return static_cast<unsigned char>(unit.at(0)) >> 1;
}

inline std::string with_length(const std::string& unit) {
  return big_endian(unit.size(), 4) + unit;
}

// That of a file whose mdat box comes last and has it alone.
inline HevcPicture hevc_picture(const std::string& file) {
  HevcPicture picture;
  std::size_t at = file.find("hvcC") + 4;
  picture.config = file.substr(at, 22);
  BitReader in(std::string_view(file).substr(at + 22));
  for (std::uint32_t arrays = in.bits(8); arrays > 0; --arrays) {
    in.bits(8);
    for (std::uint32_t units = in.bits(16); units > 0; --units) {
      std::string unit(in.bits(16), '\0');
      for (char& byte : unit) byte = static_cast<char>(in.bits(8));
      picture.units.push_back(unit);
    }
  }
  picture.data = file.substr(file.rfind("mdat") + 4);
  return picture;
}

inline std::string hevc_config(const HevcPicture& picture) {
  std::string arrays = big_endian(picture.units.size(), 1);
  for (const std::string& unit : picture.units) {
    arrays += big_endian(0x80U | static_cast<unsigned>(unit_type(unit)), 1) + big_endian(1, 2) +
              big_endian(unit.size(), 2) + unit;
  }
  return heif_box("hvcC", picture.config + arrays);
}

}  // namespace fvlm
