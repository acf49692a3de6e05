// Reads the files that torch.save writes for a dictionary of tensors: the zip archive of PyTorch
// 1.6 and later, and the format before it (pickles one after the other, then the numbers).
//
// Numbers stay in the mapped file where a tensor is one contiguous piece of its storage; the views
// that are not, transposed ones for example, are copied when the file is opened.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/checkpoint/pickle.hpp"
#include "runtime/checkpoint/tensor_view.hpp"
#include "runtime/checkpoint/zip_archive.hpp"

namespace fvlm {

class TorchFile {
 public:
  // Throws Error if the file breaks any rule of either format or holds anything but tensors.
  explicit TorchFile(const std::filesystem::path& path);

  // In the order of the dictionary.
  const std::vector<TensorView>& tensors() const { return tensors_; }
  // Compares the bytes of a tensor's storage with their checksum; the older format has none.
  void check_sum(const TensorView& tensor) const;
  const MappedFile& file() const { return archive_ ? archive_->file() : *file_; }

 private:
  void open_archive();
  void open_legacy();
  // Adds the view of a tensor in its storage's bytes, or in a copy.
  void add(const std::string& name, const pickle::Tensor& tensor,
           std::span<const std::byte> storage);

  std::unique_ptr<const ZipArchive> archive_;  // one of these two
  std::unique_ptr<const MappedFile> file_;
  std::vector<TensorView> tensors_;
  std::vector<const ZipArchive::Entry*> storages_;  // of each tensor, in an archive
  std::vector<std::vector<std::byte>> copies_;      // of tensors that are not contiguous
  std::size_t copied_bytes_ = 0;
};

}  // namespace fvlm
