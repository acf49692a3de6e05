// The safetensors writer: lays out the header, then counts what each tensor still needs.
#include "runtime/checkpoint/safetensors_writer.hpp"

#include <fmt/ranges.h>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "kernels/support/make_error.hpp"
#include "runtime/checkpoint/safetensors.hpp"
#include "runtime/config/json_file.hpp"
#include "runtime/support/checksum.hpp"
#include "runtime/support/new_files.hpp"

namespace fvlm {

using nlohmann::json;

namespace {

// Headers are padded with spaces so that the data begins at a multiple of this.
constexpr std::size_t kAlignment = 8;
const std::string kMetadata(kSafetensorsMetadataKey);

}  // namespace

SafetensorsWriter::SafetensorsWriter(std::filesystem::path path, std::vector<TensorHeader> tensors,
                                     std::map<std::string, std::string> metadata)
    : path_(std::move(path)),
      partial_(partial_name(path_)),
      header_(json::object()),
      has_sums_(metadata.contains(kFormatKey)) {
  if (has_sums_) {  // known in the end, when they are written over these
    metadata[kHeaderSumKey] = kNoSum;
    for (const TensorHeader& tensor : tensors) metadata[kTensorSumKey + tensor.name] = kNoSum;
  }
  if (!metadata.empty()) header_[kMetadata] = metadata;
  std::uint64_t at = 0;
  for (TensorHeader& tensor : tensors) {
    const auto bytes = checked_tensor_bytes(tensor.dtype, tensor.shape);
    if (!bytes || *bytes > std::numeric_limits<std::int64_t>::max() - at) {
      throw make_error("{}: tensor {}: shape [{}] is not possible", path_.string(),
                       in_quotes(tensor.name), fmt::join(tensor.shape, ", "));
    }
    if (tensor.name == kSafetensorsMetadataKey || header_.contains(tensor.name)) {
      throw make_error("{}: tensor {}: the name is taken", path_.string(), in_quotes(tensor.name));
    }
    header_[tensor.name] = {{"dtype", name_of(tensor.dtype)},
                            {"shape", tensor.shape},
                            {"data_offsets", {at, at + *bytes}}};
    pending_.push_back({std::move(tensor.name), *bytes});
    at += *bytes;
  }
  std::string text;
  try {
    text = header_.dump();
  } catch (const json::type_error&) {
    throw make_error("{}: a tensor's name or the metadata is not valid UTF-8", path_.string());
  }
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  header_bytes_ = text.size();
  const std::uint64_t length = text.size();
  if (length > kMaxSafetensorsHeader) {
    throw make_error("{}: header of {} bytes, expected at most {}", path_.string(), length,
                     kMaxSafetensorsHeader);
  }

  fd_ = ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd_ < 0) throw_not_writable(partial_);
  try {
    write_raw(&length, sizeof(length));
    write_raw(text.data(), text.size());
  } catch (...) {  // a constructor that throws runs no destructor
    ::close(fd_);
    ::unlink(partial_.c_str());
    throw;
  }
  skip_complete();
}

SafetensorsWriter::~SafetensorsWriter() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(partial_.c_str());
}

void SafetensorsWriter::write(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  if (current_ == pending_.size()) {
    throw make_error("{}: {} bytes written after the last tensor", path_.string(), bytes.size());
  }
  Pending& tensor = pending_[current_];
  if (bytes.size() > tensor.bytes_left) {
    throw make_error("{}: tensor {}: {} bytes written, but its shape has only {} left",
                     path_.string(), in_quotes(tensor.name), bytes.size(), tensor.bytes_left);
  }
  write_raw(bytes.data(), bytes.size());
  if (has_sums_) tensor.sum = crc32(bytes, tensor.sum);
  tensor.bytes_left -= bytes.size();
  skip_complete();
}

void SafetensorsWriter::finish() {
  if (current_ < pending_.size()) {
    const Pending& tensor = pending_[current_];
    throw make_error("{}: tensor {}: {} bytes were not written", path_.string(),
                     in_quotes(tensor.name), tensor.bytes_left);
  }
  if (has_sums_) write_sums();
  // Some file systems report a full disk only here; the destructor removes what was written.
  if (::fsync(fd_) != 0) throw_not_writable(path_);
  put_in_place(partial_, path_);
  ::close(std::exchange(fd_, -1));
}

void SafetensorsWriter::write_sums() {
  json& metadata = header_[kMetadata];
  for (const Pending& tensor : pending_) {
    metadata[kTensorSumKey + tensor.name] = crc32_digits(tensor.sum);
  }
  const auto text = [&] {
    std::string padded = header_.dump();
    padded.resize(header_bytes_, ' ');
    return padded;
  };
  const std::string without = text();
  metadata[kHeaderSumKey] = crc32_digits(std::as_bytes(std::span(without)));
  if (::lseek(fd_, sizeof(std::uint64_t), SEEK_SET) < 0) throw_not_writable(partial_);
  const std::string complete = text();
  write_raw(complete.data(), complete.size());
}

void SafetensorsWriter::write_raw(const void* data, std::size_t size) {
  const auto* next = static_cast<const std::byte*>(data);
  while (size > 0) {
    const ssize_t written = ::write(fd_, next, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_not_writable(partial_);
    next += written;
    size -= static_cast<std::size_t>(written);
  }
}

void SafetensorsWriter::skip_complete() {
  while (current_ < pending_.size() && pending_[current_].bytes_left == 0) ++current_;
}

}  // namespace fvlm
