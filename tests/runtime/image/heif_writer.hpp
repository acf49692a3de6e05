// HEIC and AVIF files from coded pictures (ISO/IEC 23008-12), which may declare another size than
// the pictures have.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fvlm {

// `value` as `size` bytes, most significant first.
inline std::string big_endian(std::uint64_t value, int size) {
  std::string bytes;
  while (size-- > 0) bytes.push_back(static_cast<char>(value >> (8 * size) & 255));
  return bytes;
}

inline std::string heif_box(const std::string& type, const std::string& content) {
  return big_endian(content.size() + 8, 4) + type + content;
}

struct HeifItem {
  std::string type;    // "av01", "hvc1" or "grid"
  std::string config;  // an av1C or hvcC box, none for a grid
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  std::string data;
  std::vector<int> tiles;  // of a grid: items' numbers, from 1 on
};

// A grid's data.
inline std::string heif_grid(int rows, int columns, std::uint32_t width, std::uint32_t height) {
  return big_endian(1, 2) + big_endian(static_cast<std::uint64_t>(rows - 1), 1) +
         big_endian(static_cast<std::uint64_t>(columns - 1), 1) + big_endian(width, 4) +
         big_endian(height, 4);
}

// The first item is the picture, the others are its parts.
inline std::string heif_file(const std::string& brand, const std::vector<HeifItem>& items) {
  const std::string begin = heif_box("ftyp", brand + big_endian(0, 4) + "mif1" + brand);
  const std::string version0 = big_endian(0, 4);
  std::string infos, places, properties, uses, references, data;
  std::uint64_t id = 0, property = 0;
  for (const HeifItem& item : items) {
    ++id;
    const std::string number = big_endian(id, 2);
    infos +=
        heif_box("infe", big_endian(2 << 24, 4) + number + big_endian(0, 2) + item.type + '\0');
    places += number + big_endian(0, 2) + big_endian(1, 2) +
              big_endian(begin.size() + 8 + data.size(), 4) + big_endian(item.data.size(), 4);
    data += item.data;
    properties +=
        heif_box("ispe", version0 + big_endian(item.width, 4) + big_endian(item.height, 4));
    properties += heif_box("pixi", version0 + "\3\10\10\10");
    properties += item.config;
    const std::uint64_t count = item.config.empty() ? 2 : 3;
    uses += number + big_endian(count, 1);
    for (std::uint64_t i = 0; i < count; ++i) uses += big_endian(0x80 | ++property, 1);
    if (item.tiles.empty()) continue;
    std::string parts;
    for (const int tile : item.tiles) parts += big_endian(static_cast<std::uint64_t>(tile), 2);
    references += heif_box("dimg", number + big_endian(item.tiles.size(), 2) + parts);
  }
  const std::string counted = version0 + big_endian(items.size(), 2);
  std::string meta =
      version0 + heif_box("hdlr", big_endian(0, 8) + "pict" + big_endian(0, 13)) +
      heif_box("pitm", version0 + big_endian(1, 2)) + heif_box("iinf", counted + infos) +
      heif_box("iloc", version0 + "\x44" + '\0' + big_endian(items.size(), 2) + places) +
      heif_box("iprp", heif_box("ipco", properties) +
                           heif_box("ipma", version0 + big_endian(items.size(), 4) + uses));
  if (!references.empty()) meta += heif_box("iref", version0 + references);
  return begin + heif_box("mdat", data) + heif_box("meta", meta);
}

}  // namespace fvlm
