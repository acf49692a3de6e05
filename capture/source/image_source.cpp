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

bool is_whole(const std::filesystem::path& path) {
  const auto file = read_file(path);
  return read_jpeg_header({file->data(), file->size()}).has_value();
}

// Why a folder cannot be read, and what to do.
std::string why_not(const std::filesystem::path& folder, const std::error_code& error) {
  if (error == std::errc::no_such_file_or_directory) {
    return "there is no such folder; give one with JPEG files, as in --source images:DIR";
  }
  if (error == std::errc::not_a_directory) {
    return fmt::format("a file, not a folder; give its folder: --source images:{}",
                       folder.has_parent_path() ? folder.parent_path().string() : ".");
  }
  if (error == std::errc::permission_denied) {
    return "the folder may not be read by this user; change its permissions";
  }
  return error.message();
}

}  // namespace

ImageSource::ImageSource(const std::filesystem::path& folder, double rate, Counters& counters)
    : folder_(folder), counters_(counters), pace_(rate) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (is_jpeg(entry.path())) files_.push_back(entry.path());
  }
  if (error) {
    throw SourceError(Cause::kNoFolder,
                      fmt::format("{}: {}", folder.string(), why_not(folder, error)));
  }
  if (files_.empty()) {
    throw SourceError(
        Cause::kNoPictures,
        fmt::format(
            "{}: the folder holds no .jpg or .jpeg file; put some there, or name another folder",
            folder.string()));
  }
  std::sort(files_.begin(), files_.end());
  if (std::none_of(files_.begin(), files_.end(), is_whole)) {
    throw SourceError(Cause::kNoPictures,
                      fmt::format("{}: none of its {} .jpg files is a whole JPEG; name a folder "
                                  "with pictures that a viewer of images shows",
                                  folder.string(), files_.size()));
  }
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
  return Frame{PixelFormat::kMjpeg, header->width,  header->height, 0, bytes, {}, {}, shown_,
               Clock::now(),        std::move(file)};
}

std::string ImageSource::description() const {
  return fmt::format("{}, {} pictures", folder_.string(), files_.size());
}

}  // namespace fvlm::capture
