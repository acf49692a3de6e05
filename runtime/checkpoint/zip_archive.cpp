// Formats: PKWARE's APPNOTE.TXT, 4.3 (records) and 4.5.3 (the zip64 extra field).
#include "runtime/checkpoint/zip_archive.hpp"

#include <zip.h>

#include <algorithm>
#include <cstring>

#include "kernels/support/make_error.hpp"
#include "runtime/config/json_file.hpp"
#include "runtime/support/checksum.hpp"

namespace fvlm {
namespace {

constexpr std::uint64_t kMaxEntries = 100'000;  // a large model has 1,500 tensors
constexpr std::uint32_t kLocalHeader = 0x04034b50;
constexpr std::uint32_t kDirectoryEntry = 0x02014b50;
constexpr std::uint32_t kEnd = 0x06054b50;
constexpr std::uint32_t kEnd64 = 0x06064b50;
constexpr std::uint32_t kEnd64Locator = 0x07064b50;
constexpr std::uint16_t kZip64Extra = 0x0001;
constexpr std::uint32_t kIn64 = 0xffffffff;  // the number itself is in the zip64 extra field

// Reads little-endian numbers at offsets that it checks.
class Records {
 public:
  Records(std::span<const std::byte> bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  template <class T>
  T number(std::uint64_t offset) const {
    T value;
    std::memcpy(&value, range(offset, sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::span<const std::byte> range(std::uint64_t offset, std::uint64_t size) const {
    if (offset > bytes_.size() || size > bytes_.size() - offset) {
      throw make_error("{}: damaged zip archive: a record reaches beyond the end of the file",
                       path_);
    }
    return bytes_.subspan(offset, size);
  }
  void expect(std::uint64_t offset, std::uint32_t signature, std::string_view what) const {
    if (number<std::uint32_t>(offset) != signature) {
      throw make_error("{}: damaged zip archive: no {} at byte {}", path_, what, offset);
    }
  }
  std::uint64_t size() const { return bytes_.size(); }

 private:
  std::span<const std::byte> bytes_;
  const std::string& path_;
};

struct Directory {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::uint64_t entries = 0;
};

// Nothing may stand between the directory and the records at the end, nor after them: then there
// is only one way to read the archive.
Directory find_directory(const Records& file, const std::string& path) {
  constexpr std::uint64_t kEndBytes = 22;
  constexpr std::uint64_t kLocatorBytes = 20;
  if (file.size() < kEndBytes) throw make_error("{}: damaged zip archive: it has no end", path);
  const std::uint64_t end = file.size() - kEndBytes;
  file.expect(end, kEnd, "end of the directory");
  Directory directory{file.number<std::uint32_t>(end + 16), file.number<std::uint32_t>(end + 12),
                      file.number<std::uint16_t>(end + 10)};
  std::uint64_t directory_end = end;
  if (end >= kLocatorBytes && file.number<std::uint32_t>(end - kLocatorBytes) == kEnd64Locator) {
    directory_end = file.number<std::uint64_t>(end - kLocatorBytes + 8);
    file.expect(directory_end, kEnd64, "zip64 end of the directory");
    directory = {file.number<std::uint64_t>(directory_end + 48),
                 file.number<std::uint64_t>(directory_end + 40),
                 file.number<std::uint64_t>(directory_end + 32)};
  }
  if (directory.entries > kMaxEntries) {
    throw make_error("{}: zip archive of {} files, at most {} are accepted", path,
                     directory.entries, kMaxEntries);
  }
  if (directory.offset > directory_end || directory.size != directory_end - directory.offset) {
    throw make_error("{}: damaged zip archive: the directory is not where its end says", path);
  }
  return directory;
}

struct Place {
  std::string_view name{};
  std::uint64_t header = 0;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

// Where the files lie, in the directory's order, with the sizes that libzip found.
class Places {
 public:
  Places(const Records& file, const Directory& directory) : file_(file), at_(directory.offset) {}

  Place next(std::uint64_t size) {
    constexpr std::uint64_t kEntryBytes = 46;
    constexpr std::uint64_t kHeaderBytes = 30;
    file_.expect(at_, kDirectoryEntry, "entry of the directory");
    const std::uint64_t name = file_.number<std::uint16_t>(at_ + 28);
    const std::uint64_t extra = file_.number<std::uint16_t>(at_ + 30);
    const std::uint64_t comment = file_.number<std::uint16_t>(at_ + 32);
    const auto text = file_.range(at_ + kEntryBytes, name);
    Place place{.name = {reinterpret_cast<const char*>(text.data()), text.size()},
                .header = file_.number<std::uint32_t>(at_ + 42)};
    if (place.header == kIn64) place.header = offset64(at_ + kEntryBytes + name, extra);
    at_ += kEntryBytes + name + extra + comment;

    file_.expect(place.header, kLocalHeader, "file header");
    place.begin = place.header + kHeaderBytes + file_.number<std::uint16_t>(place.header + 26) +
                  file_.number<std::uint16_t>(place.header + 28);
    file_.range(place.begin, size);
    place.end = place.begin + size;
    return place;
  }

 private:
  // The zip64 field holds, of size, stored size and offset, those that did not fit.
  std::uint64_t offset64(std::uint64_t extra, std::uint64_t length) const {
    for (std::uint64_t at = 0; at + 4 <= length;) {
      const auto id = file_.number<std::uint16_t>(extra + at);
      const std::uint64_t bytes = file_.number<std::uint16_t>(extra + at + 2);
      if (id == kZip64Extra && bytes >= 8) {
        std::uint64_t index = 0;
        for (const std::uint64_t field : {std::uint64_t{20}, std::uint64_t{24}}) {
          if (file_.number<std::uint32_t>(at_ + field) == kIn64) ++index;
        }
        return file_.number<std::uint64_t>(extra + at + 4 + 8 * index);
      }
      at += 4 + bytes;
    }
    return kIn64;
  }

  const Records& file_;
  std::uint64_t at_;
};

struct ZipCloser {
  void operator()(zip_t* zip) const { zip_discard(zip); }
};
using ZipHandle = std::unique_ptr<zip_t, ZipCloser>;

ZipHandle open_zip(const std::filesystem::path& path) {
  int code = 0;
  ZipHandle zip(zip_open(path.c_str(), ZIP_RDONLY | ZIP_CHECKCONS, &code));
  if (zip == nullptr) {
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    const std::string reason = zip_error_strerror(&error);
    zip_error_fini(&error);
    throw make_error("{}: damaged zip archive: {}", path.string(), reason);
  }
  return zip;
}

bool is_plain_name(std::string_view name) {
  const auto is_odd = [](unsigned char c) { return c == '\\' || c == ':' || c < ' '; };
  return !name.empty() && name.front() != '/' && name.find("..") == std::string_view::npos &&
         std::ranges::none_of(name, is_odd);
}

}  // namespace

bool ZipArchive::is_zip(std::span<const std::byte> bytes) {
  std::uint32_t signature = 0;
  if (bytes.size() < sizeof(signature)) return false;
  std::memcpy(&signature, bytes.data(), sizeof(signature));
  return signature == kLocalHeader;
}

ZipArchive::ZipArchive(const std::filesystem::path& path)
    : file_(std::make_unique<const MappedFile>(path)) {
  const std::string source = path.string();
  const Records records(file_->bytes(), source);
  const Directory directory = find_directory(records, source);
  const ZipHandle zip = open_zip(path);
  if (static_cast<std::uint64_t>(zip_get_num_entries(zip.get(), 0)) != directory.entries) {
    throw make_error("{}: damaged zip archive: its directory can be read in two ways", source);
  }
  std::vector<Place> places;
  Places walk(records, directory);
  for (zip_uint64_t i = 0; i < directory.entries; ++i) {
    zip_stat_t stat;
    constexpr zip_uint64_t kNeeded = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE |
                                     ZIP_STAT_CRC | ZIP_STAT_COMP_METHOD |
                                     ZIP_STAT_ENCRYPTION_METHOD;
    if (zip_stat_index(zip.get(), i, ZIP_FL_ENC_RAW, &stat) != 0 ||
        (stat.valid & kNeeded) != kNeeded) {
      throw make_error("{}: damaged zip archive: file {} cannot be described", source, i);
    }
    places.push_back(walk.next(stat.size));
    const Place& place = places.back();
    const std::string what = source + ": " + in_quotes(place.name);
    if (place.name != stat.name || !is_plain_name(place.name)) {
      throw make_error("{}: not a name that torch.save gives", what);
    }
    if (stat.encryption_method != ZIP_EM_NONE) throw make_error("{}: it is encrypted", what);
    if (stat.comp_method != ZIP_CM_STORE || stat.comp_size != stat.size) {
      throw make_error("{}: it is compressed, which torch.save never does", what);
    }
    entries_.push_back({stat.name, records.range(place.begin, stat.size), stat.crc});
  }

  std::ranges::sort(places, {}, &Place::header);
  for (std::size_t i = 0; i < places.size(); ++i) {
    const std::uint64_t limit = i + 1 < places.size() ? places[i + 1].header : directory.offset;
    if (places[i].end > limit) {
      throw make_error("{}: damaged zip archive: the file at byte {} overlaps what follows it",
                       source, places[i].header);
    }
  }
  std::ranges::sort(entries_, {}, &Entry::name);
  const auto twice = std::ranges::adjacent_find(entries_, {}, &Entry::name);
  if (twice != entries_.end()) {
    throw make_error("{}: {} is in the archive twice", source, in_quotes(twice->name));
  }
}

const ZipArchive::Entry* ZipArchive::find(std::string_view name) const {
  const auto found = std::ranges::lower_bound(entries_, name, {}, &Entry::name);
  return found != entries_.end() && found->name == name ? &*found : nullptr;
}

void ZipArchive::check_sum(const Entry& entry) const {
  const std::uint32_t found = crc32(entry.bytes);
  if (found != entry.crc) {
    throw make_error("{}: {}: its bytes have the checksum {}, expected {}", file_->path().string(),
                     in_quotes(entry.name), crc32_digits(found), crc32_digits(entry.crc));
  }
}

}  // namespace fvlm
