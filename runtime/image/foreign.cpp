// What people send that is not read: named by its first bytes, with what to do about it.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstring>

#include "fvlm/error.hpp"
#include "kernels/support/make_error.hpp"
#include "runtime/image/formats.hpp"

namespace fvlm::image_formats {
namespace {

using namespace std::string_view_literals;

// What data is, with its article, and what to do about it.
struct Foreign {
  std::string_view what;
  std::string_view extension;    // of pictures, which ImageMagick turns into PNG
  std::string_view advice = {};  // of all else
};

struct Signature {
  std::size_t offset;
  std::string_view magic;
  Foreign foreign;
};

constexpr std::string_view kTakeFrame = "take a frame of it: `ffmpeg -i IN -frames:v 1 out.png`";
constexpr std::string_view kUnpack = "unpack it";
constexpr std::string_view kDecode = "decode the Base64 text first";
constexpr std::string_view kSendPicture = "send a picture";

// The first that matches counts.
constexpr Signature kSignatures[] = {
    {4, "ftypcrx "sv, {"a Canon raw photo", "cr3"}},
    {0,
     "version https://git-lfs"sv,
     {"a Git LFS pointer", "", "fetch the file itself: `git lfs pull`"}},
    {4, "ftyp"sv, {"an MP4 or QuickTime video", "", kTakeFrame}},
    {4, "moov"sv, {"an MP4 or QuickTime video", "", kTakeFrame}},
    {4, "mdat"sv, {"an MP4 or QuickTime video", "", kTakeFrame}},
    {0, "\x1a\x45\xdf\xa3"sv, {"a WebM or Matroska video", "", kTakeFrame}},
    {8, "AVI LIST"sv, {"an AVI video", "", kTakeFrame}},
    {0, "FLV\1"sv, {"a Flash video", "", kTakeFrame}},
    {0, "\0\0\1\xba"sv, {"an MPEG video", "", kTakeFrame}},
    {0, "\0\0\1\xb3"sv, {"an MPEG video", "", kTakeFrame}},
    {0, "OggS"sv, {"an Ogg file", "", kTakeFrame}},
    {8, "WAVEfmt "sv, {"a WAV sound", "", kSendPicture}},
    {0, "PK\3\4"sv, {"a ZIP archive", "", kUnpack}},
    {0, "\x1f\x8b"sv, {"a gzip archive", "", kUnpack}},
    {0, "\xfd\x37zXZ\0"sv, {"an xz archive", "", kUnpack}},
    {0, "\x28\xb5\x2f\xfd"sv, {"a Zstandard archive", "", kUnpack}},
    {0, "7z\xbc\xaf\x27\x1c"sv, {"a 7-Zip archive", "", kUnpack}},
    {257, "ustar"sv, {"a tar archive", "", kUnpack}},
    {0, "data:image/"sv, {"a data URL", "", kDecode}},
    {0, "/9j/"sv, {"a JPEG picture in Base64", "", kDecode}},
    {0, "iVBORw0KGgo"sv, {"a PNG picture in Base64", "", kDecode}},
    {0, "\x93NUMPY"sv, {"a NumPy array", "", "save it as a picture, e.g. with Pillow"}},
    {0, "\x7f\x45LF"sv, {"a program", "", kSendPicture}},
    {6, "\0\0\0\0"sv, {"a BMP picture", "bmp"}},  // and "BM" at 0
    {8, "CR\2"sv, {"a Canon raw photo", "cr2"}},
    {0, "FUJIFILMCCD-RAW"sv, {"a Fujifilm raw photo", "raf"}},
    {0, "IIRO"sv, {"an Olympus raw photo", "orf"}},
    {0, "IIU\0"sv, {"a Panasonic raw photo", "rw2"}},
    {0, "II\xbc"sv, {"a JPEG XR picture", "jxr"}},
    {0, "II*\0"sv, {"a TIFF picture", "tiff"}},
    {0, "MM\0*"sv, {"a TIFF picture", "tiff"}},
    {0, "II+\0"sv, {"a TIFF picture", "tiff"}},
    {0, "MM\0+"sv, {"a TIFF picture", "tiff"}},
    {0, "\0\0\0\x0cjP  "sv, {"a JPEG 2000 picture", "jp2"}},
    {0, "\xff\x4f\xff\x51"sv, {"a JPEG 2000 picture", "j2k"}},
    {0, "\0\0\0\x0cJXL "sv, {"a JPEG XL picture", "jxl"}},
    {0, "\xff\x0a"sv, {"a JPEG XL picture", "jxl"}},
    {0, "8BPS"sv, {"a PSD picture", "psd"}},
    {0, "gimp xcf"sv, {"a GIMP picture", "xcf"}},
    {0, "\0\0\1\0"sv, {"an ICO picture", "ico"}},
    {0, "\0\0\2\0"sv, {"a cursor", "cur"}},
    {0, "icns"sv, {"an Apple icon", "icns"}},
    {0, "v/1\1"sv, {"an EXR picture", "exr"}},
    {0, "#?RADIANCE"sv, {"a Radiance HDR picture", "hdr"}},
    {0, "qoif"sv, {"a QOI picture", "qoi"}},
    {0, "farbfeld"sv, {"a farbfeld picture", "ff"}},
    {0, "DDS "sv, {"a DDS picture", "dds"}},
    {0, "BPG\xfb"sv, {"a BPG picture", "bpg"}},
    {0, "FLIF"sv, {"a FLIF picture", "flif"}},
    {0, "\x8aMNG"sv, {"an MNG animation", "mng"}},
    {0, "\n\5\1\x8"sv, {"a PCX picture", "pcx"}},
    {0, "SIMPLE  ="sv, {"a FITS picture", "fits"}},
    {128, "DICM"sv, {"a DICOM picture", "dcm"}},
    {0, "AT&TFORM"sv, {"a DjVu document", "djvu"}},
    {40, " EMF"sv, {"an EMF drawing", "emf"}},
    {0, "\xd7\xcd\xc6\x9a"sv, {"a WMF drawing", "wmf"}},
    {0, "%PDF-"sv, {"a PDF document", "pdf"}},
    {0, "%!PS"sv, {"a PostScript document", "ps"}},
};

std::string_view text_at(Bytes bytes, std::size_t offset, std::size_t size) {
  if (offset > bytes.size()) return {};
  const auto* const text = reinterpret_cast<const char*>(bytes.data());
  return {text + offset, std::min(size, bytes.size() - offset)};
}

// The first bytes of a text in lower case, from its first visible character on.
std::string start_of_text(Bytes bytes) {
  std::string text(text_at(bytes, 0, 1024));
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
  text.erase(0, text.find_first_not_of(" \t\r\n"));
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// Netpbm's: P1 to P7 or PF and white space.
bool is_netpbm(Bytes bytes) {
  const std::string_view text = text_at(bytes, 0, 3);
  return text.size() == 3 && text[0] == 'P' && "1234567Ff"sv.find(text[1]) != std::string::npos &&
         " \t\r\n"sv.find(text[2]) != std::string::npos;
}

// The tag DNGVersion, four bytes, in the first directory of a TIFF file, which is near its start.
bool is_dng(Bytes bytes) {
  const std::string_view text = text_at(bytes, 0, 4096);
  return text.find("\x12\xc6\1\0\4\0\0\0"sv) != std::string::npos ||
         text.find("\xc6\x12\0\1\0\0\0\4"sv) != std::string::npos;
}

// Both parts are empty if the data is unknown.
Foreign recognise(Bytes bytes) {
  for (const auto& [offset, magic, foreign] : kSignatures) {
    if (text_at(bytes, offset, magic.size()) != magic) continue;
    // Two letters alone may begin a text.
    if (foreign.extension == "bmp" && text_at(bytes, 0, 2) != "BM") continue;
    if (foreign.extension == "tiff" && is_dng(bytes)) return {"a DNG raw photo", "dng"};
    return foreign;
  }
  if (is_netpbm(bytes)) return {"a Netpbm picture", "pnm"};
  const std::string text = start_of_text(bytes);
  if (!text.starts_with('<')) return {};
  if (text.starts_with("<!doctype html") || text.find("<html") != std::string::npos) {
    return {"an HTML page", "", "save the picture that it shows"};
  }
  if (text.find("<svg") != std::string::npos) return {"an SVG drawing", "svg"};
  return {"an XML text", "", kSendPicture};
}

}  // namespace

Error foreign_error(Bytes bytes, std::string_view name) {
  const auto [what, extension, advice] = recognise(bytes);
  if (what.empty()) {
    return make_error("{}: not a picture of a known format; {} are read", name, kReadableFormats);
  }
  if (extension.empty()) {
    return make_error("{}: this is {}; {} pictures are read: {}", name, what, kReadableFormats,
                      advice);
  }
  return make_error(
      "{}: this is {}; {} pictures are read: convert it, e.g. `convert in.{} out.png`", name, what,
      kReadableFormats, extension);
}

// The file begins with a box of its major brand, a version and further brands, four letters each.
std::string_view heif_kind(Bytes bytes) {
  if (text_at(bytes, 4, 4) != "ftyp") return {};
  std::size_t size = 0;
  for (std::size_t i = 0; i < 4; ++i) size = size << 8 | std::to_integer<std::size_t>(bytes[i]);
  std::string_view kind;
  const std::string_view brands = text_at(bytes, 8, std::max<std::size_t>(size, 8) - 8);
  for (std::size_t at = 0; at + 4 <= brands.size(); at += 4) {
    if (at == 4) continue;
    const std::string_view brand = brands.substr(at, 4);
    if (brand == "avif" || brand == "avis") return "AVIF";
    if (brand == "mif1" || brand == "msf1" || brand.starts_with("hei") ||
        brand.starts_with("hev")) {
      kind = "HEIC";
    }
  }
  return kind;
}

}  // namespace fvlm::image_formats
