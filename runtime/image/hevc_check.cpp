#include "runtime/image/hevc_check.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "fvlm/error.hpp"
#include "kernels/support/make_error.hpp"

namespace fvlm::image_formats {
namespace {

using Unit = std::span<const std::byte>;

// Bits of a unit's payload, most significant first.
class BitReader {
 public:
  // Takes out the 3 of every 0, 0, 3, which keeps payloads free of start codes (7.3.1.1).
  explicit BitReader(Unit unit) {
    bytes_.reserve(unit.size());
    int zeros = 0;
    for (const std::byte byte : unit) {
      const bool is_inserted = zeros >= 2 && byte == std::byte{3};
      if (!is_inserted) bytes_.push_back(byte);
      zeros = byte == std::byte{0} ? zeros + 1 : 0;
    }
  }

  std::uint32_t bit() {
    if (at_ / 8 >= bytes_.size()) throw Error("a HEVC parameter set ends early");
    const auto byte = std::to_integer<std::uint32_t>(bytes_[at_ / 8]);
    return byte >> (7 - at_++ % 8) & 1;
  }
  std::uint32_t bits(int count) {
    std::uint32_t value = 0;
    for (; count > 0; --count) value = value << 1 | bit();
    return value;
  }
  void skip(int count) {
    for (; count > 0; --count) bit();
  }
  // Exp-Golomb: as many zeros as there are bits after the first one.
  std::uint32_t number() {
    constexpr int kMostBits = 20;
    int zeros = 0;
    while (bit() == 0) {
      if (++zeros > kMostBits) throw Error("a HEVC parameter set is damaged");
    }
    return (std::uint32_t{1} << zeros) - 1 + bits(zeros);
  }

 private:
  std::vector<std::byte> bytes_;
  std::size_t at_ = 0;  // bits
};

// profile_tier_level (7.3.3).
void skip_profile(BitReader& reader, int sub_layers) {
  constexpr int kProfileBits = 88;
  constexpr int kLevelBits = 8;
  reader.skip(kProfileBits + kLevelBits);
  if (sub_layers == 1) return;
  int bits = 0;
  for (int i = 1; i < sub_layers; ++i) {
    if (reader.bit() == 1) bits += kProfileBits;
    if (reader.bit() == 1) bits += kLevelBits;
  }
  reader.skip(2 * (9 - sub_layers) + bits);
}

}  // namespace

bool HevcCheck::is_decoded(Unit unit) {
  if (unit.size() < 2) throw Error("a HEVC unit ends early");
  const int header = std::to_integer<int>(unit[0]) << 8 | std::to_integer<int>(unit[1]);
  if ((header >> 3 & 63) != 0) return false;  // nuh_layer_id
  const int type = header >> 9 & 63;
  constexpr int kFirstBesidesSlices = 32;
  constexpr int kSequenceSet = 33;
  constexpr int kPictureSet = 34;
  if (type < kFirstBesidesSlices) check_slice(type, unit);
  if (type == kSequenceSet) check_sequence(unit);
  // Each has tables of the picture's blocks; encoders write one, or a few to choose among.
  constexpr int kMostPictureSets = 4;
  if (type == kPictureSet && ++picture_sets_ > kMostPictureSets) {
    throw make_error("it has more than {} HEVC picture parameter sets", kMostPictureSets);
  }
  return true;
}

// seq_parameter_set_rbsp (7.3.2.2), up to the samples' depth.
void HevcCheck::check_sequence(Unit unit) const {
  BitReader reader(unit);
  reader.skip(16 + 4);  // the unit's header, sps_video_parameter_set_id
  const int sub_layers = static_cast<int>(reader.bits(3)) + 1;
  reader.skip(1);
  skip_profile(reader, sub_layers);
  reader.number();  // sps_seq_parameter_set_id
  constexpr std::uint32_t kChroma444 = 3;
  if (reader.number() == kChroma444) reader.skip(1);  // separate_colour_plane_flag
  const std::int64_t width = reader.number();
  const std::int64_t height = reader.number();
  if (coded_pixels(width, height) > limit_.pixels) {
    throw make_error("{}: {}x{} pixels", kLargerThanDeclared, width, height);
  }
  if (reader.bit() == 1) {  // conformance_window_flag
    for (int side = 0; side < 4; ++side) reader.number();
  }
  const std::uint32_t luma_bits = 8 + reader.number();
  const std::uint32_t chroma_bits = 8 + reader.number();
  const auto most_bits = static_cast<std::uint32_t>(limit_.sample_bytes) * 8;
  if (std::max(luma_bits, chroma_bits) > most_bits) {
    throw make_error("{}: samples of {} bits", kLargerThanDeclared,
                     std::max(luma_bits, chroma_bits));
  }
}

void HevcCheck::check_slice(int type, Unit unit) {
  // Any other picture may list those that it refers to, and each that is missing would be made up.
  constexpr int kIdrWithLeading = 19;
  constexpr int kIdr = 20;
  if (type != kIdrWithLeading && type != kIdr) {
    throw make_error("its HEVC picture is of type {}, only IDR pictures are read", type);
  }
  if (unit.size() < 3) throw Error("a HEVC unit ends early");
  const bool is_first_of_picture = (unit[2] & std::byte{0x80}) != std::byte{0};
  if (is_first_of_picture && ++pictures_ > 1) throw Error("it has more than one HEVC picture");
  constexpr int kMostSlices = 600;  // of a picture, at the highest level of table A.8
  if (++slices_ > kMostSlices) throw make_error("it has more than {} HEVC slices", kMostSlices);
}

}  // namespace fvlm::image_formats
