// Bytes of pickles and zip archives, written by hand so that tests can write what torch.save never
// would.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fvlm {

// `bytes` low bytes of a number, little-endian.
inline std::string little_endian(std::uint64_t number, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(i < 8 ? number >> (8 * i) : 0);
  return out;
}

// Pieces of pickle programs of protocol 2 -------------------------------------------------------
namespace program {

inline const std::string kProto("\x80\x02", 2);
inline const std::string kStop = ".";

inline std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string text(const std::string& s) {
  return "X" + little_endian(s.size(), 4) + s;
}
inline std::string integer(std::int64_t n) {
  return "\x8a\x08" + little_endian(static_cast<std::uint64_t>(n), 8);
}
inline std::string tuple(const std::vector<std::int64_t>& numbers) {
  std::string out = "(";
  for (const std::int64_t n : numbers) out += integer(n);
  return out + "t";
}
inline std::string storage(const std::string& type, const std::string& key, std::int64_t elements) {
  return "(" + text("storage") + global("torch", type) + text(key) + text("cpu") +
         integer(elements) + "tQ";
}
inline std::string tensor(const std::string& storage_program, std::int64_t offset,
                          const std::vector<std::int64_t>& shape,
                          const std::vector<std::int64_t>& strides) {
  return global("torch._utils", "_rebuild_tensor_v2") + "(" + storage_program + integer(offset) +
         tuple(shape) + tuple(strides) + "\x89" + global("collections", "OrderedDict") + ")RtR";
}
// A whole program: {name: value, ...}.
inline std::string dictionary(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string out = kProto + "}(";
  for (const auto& [name, value] : items) out += text(name) + value;
  return out + "u" + kStop;
}

}  // namespace program

// A zip archive of stored files ------------------------------------------------------------------
struct ZipFile {
  std::string name;
  std::string content;
};

// Fields of the format that a test may set wrong.
struct ZipTricks {
  std::uint16_t flags = 0;
  std::uint16_t method = 0;
  std::uint32_t crc_xor = 0;            // of the last file
  std::int64_t size_add = 0;            // to the sizes of the last file, in both headers
  std::int64_t directory_size_add = 0;  // to its size in the directory alone
  std::string local_name{};             // of the last file, if not its own
  std::int64_t last_offset = -1;        // where the directory says that the last file begins
  std::int64_t entries_add = 0;
  std::int64_t directory_add = 0;  // to the offset of the directory
  std::string before_directory{};
  std::string after_directory{};
  std::string at_end{};
  std::string comment{};
};

inline std::string zip_archive(const std::vector<ZipFile>& files, const ZipTricks& tricks = {}) {
  const auto sum = [](std::int64_t a, std::int64_t b) { return static_cast<std::uint64_t>(a + b); };
  std::string out;
  std::string directory;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const bool last = i + 1 == files.size();
    const auto& [name, content] = files[i];
    const auto* bytes = reinterpret_cast<const Bytef*>(content.data());
    const auto crc =
        static_cast<std::uint32_t>(crc32_z(0, bytes, content.size())) ^ (last ? tricks.crc_xor : 0);
    const auto size = static_cast<std::int64_t>(content.size()) + (last ? tricks.size_add : 0);
    const std::string local = last && !tricks.local_name.empty() ? tricks.local_name : name;
    const auto offset = last && tricks.last_offset >= 0
                            ? static_cast<std::uint64_t>(tricks.last_offset)
                            : out.size();
    const auto common = [&](std::int64_t stored) {
      return little_endian(20, 2) + little_endian(last ? tricks.flags : 0, 2) +
             little_endian(last ? tricks.method : 0, 2) + little_endian(0, 4) +
             little_endian(crc, 4) + little_endian(sum(stored, 0), 4) +
             little_endian(sum(stored, 0), 4);
    };
    const std::int64_t in_directory = size + (last ? tricks.directory_size_add : 0);
    directory += "PK\x01\x02" + little_endian(20, 2) + common(in_directory) +
                 little_endian(name.size(), 2) + little_endian(0, 2) + little_endian(0, 2) +
                 little_endian(0, 2) + little_endian(0, 2) + little_endian(0, 4) +
                 little_endian(offset, 4) + name;
    out += "PK\x03\x04" + common(size) + little_endian(local.size(), 2) + little_endian(0, 2) +
           local + content;
  }
  out += tricks.before_directory;
  const auto begin = static_cast<std::int64_t>(out.size());
  const auto count = static_cast<std::int64_t>(files.size());
  out += directory + tricks.after_directory;
  out += "PK\x05\x06" + little_endian(0, 4) + little_endian(sum(count, tricks.entries_add), 2) +
         little_endian(sum(count, tricks.entries_add), 2) + little_endian(directory.size(), 4) +
         little_endian(sum(begin, tricks.directory_add), 4) +
         little_endian(tricks.comment.size(), 2) + tricks.comment;
  return out + tricks.at_end;
}

// A file of torch.save: the pickled dictionary and the bytes of its storages by key.
inline std::string torch_archive(const std::string& pickle, const std::vector<ZipFile>& storages,
                                 const ZipTricks& tricks = {}) {
  std::vector<ZipFile> files = {{"archive/data.pkl", pickle}};
  for (const auto& [key, content] : storages) files.push_back({"archive/data/" + key, content});
  return zip_archive(files, tricks);
}

}  // namespace fvlm
