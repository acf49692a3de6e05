// The pictures of tests/data/images, which its README.md describes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "fvlm/error.hpp"
#include "fvlm/image.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fvlm {

using ByteVector = std::vector<std::byte>;

// A line of MANIFEST.
struct ImageSample {
  std::string name;
  std::string expected;  // "equal", "truncated" or "error"
  std::int64_t width = 0;
  std::int64_t height = 0;
};

inline std::filesystem::path sample_path(const std::string& name) {
  return std::filesystem::path(FVLM_TEST_DATA) / "images" / name;
}

inline ByteVector read_bytes(const std::filesystem::path& file) {
  const std::string text = read_file(file);
  ByteVector bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

// Those whose name ends so, in the order of MANIFEST.
inline std::vector<ImageSample> image_samples(std::string_view ending) {
  std::ifstream manifest(sample_path("MANIFEST"));
  std::vector<ImageSample> samples;
  ImageSample sample;
  while (manifest >> sample.name >> sample.expected >> sample.width >> sample.height) {
    if (sample.name.ends_with(ending)) samples.push_back(sample);
  }
  return samples;
}

// The message of the Error that `action` throws, "" if it throws none.
template <class Action>
std::string error_or_nothing(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// All rows, [height, width, 3].
inline ByteVector read_rows(ImageReader& reader) {
  const auto row_bytes = static_cast<std::size_t>(reader.info().width) * 3;
  ByteVector rgb(static_cast<std::size_t>(reader.info().height) * row_bytes);
  for (std::size_t at = 0; at < rgb.size(); at += row_bytes) {
    reader.read_row(reinterpret_cast<std::uint8_t*>(rgb.data() + at));
  }
  return rgb;
}

}  // namespace fvlm
