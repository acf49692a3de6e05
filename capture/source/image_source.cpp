#include "capture/source/image_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "capture/source/jpeg_header.hpp"

namespace fvlm::capture {
namespace {

constexpr std::uintmax_t kMaxBytes = std::uintmax_t{8} << 20;  // what servers take

bool is_jpeg(const std::filesystem::path& path) {
  std::string extension = path.extension();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension == ".jpg" || extension == ".jpeg";
}

// Read, not mapped: truncating a mapped file would raise SIGBUS. Empty if it cannot be read.
std::shared_ptr<const std::vector<std::uint8_t>> read_file(const std::filesystem::path& path) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  auto bytes = std::make_shared<std::vector<std::uint8_t>>(error || size > kMaxBytes ? 0 : size);
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(bytes->data()), static_cast<std::streamsize>(bytes->size()));
  bytes->resize(static_cast<std::size_t>(file.gcount()));
  return bytes;
}

}  // namespace

ImageSource::ImageSource(const std::filesystem::path& folder, double rate, Counters& counters)
    : folder_(folder), counters_(counters), pace_(rate) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (is_jpeg(entry.path())) files_.push_back(entry.path());
  }
  if (error) throw SourceError(fmt::format("{}: {}", folder.string(), error.message()));
  if (files_.empty()) throw SourceError(fmt::format("{}: no .jpg files there", folder.string()));
  std::sort(files_.begin(), files_.end());
}

std::optional<Frame> ImageSource::next(std::chrono::milliseconds patience) {
  if (!pace_.wait(patience)) return std::nullopt;
  auto file = read_file(files_[shown_++ % files_.size()]);
  const Bytes bytes{file->data(), file->size()};
  const auto header = read_jpeg_header(bytes);
  if (!header) {
    counters_.damaged.add();
    return std::nullopt;
  }
  return Frame{PixelFormat::kMjpeg, header->width,  header->height, 0, bytes, shown_,
               Clock::now(),        std::move(file)};
}

std::string ImageSource::description() const {
  return fmt::format("{}, {} pictures", folder_.string(), files_.size());
}

}  // namespace fvlm::capture
