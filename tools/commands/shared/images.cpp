#include "tools/commands/shared/images.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "kernels/support/make_error.hpp"
#include "net/command_line/flag_checks.hpp"
#include "tools/commands/shared/options.hpp"
#include "tools/commands/shared/terminal.hpp"

namespace fvlm {
namespace {

// "#rrggbb", or one of two names.
bool read_color(const std::string& text, std::array<std::uint8_t, 3>& color) {
  if (text == "white" || text == "black") {
    color.fill(text == "white" ? 255 : 0);
    return true;
  }
  const auto is_digit = [](unsigned char c) { return std::isxdigit(c) != 0; };
  if (text.size() != 7 || text.front() != '#' ||
      !std::all_of(text.begin() + 1, text.end(), is_digit)) {
    return false;
  }
  for (std::size_t i = 0; i < color.size(); ++i) {
    color[i] = static_cast<std::uint8_t>(std::stoi(text.substr(1 + 2 * i, 2), nullptr, 16));
  }
  return true;
}

}  // namespace

void add_picture_flags(CLI::App& parser, ImageOptions& options) {
  const auto set_orientation = [&options](const std::string& how) {
    options.apply_orientation = how == "apply";
  };
  parser
      .add_option_function<std::string>(
          "--exif-orientation", set_orientation,
          "Rotate pictures as their EXIF orientation says; ignore: as stored, like predict.py "
          "[apply]")
      ->check(one_of({"apply", "ignore"}))
      ->option_text("apply|ignore");
  const auto set_background = [&options](const std::string& color) {
    read_color(color, options.background);
  };
  parser
      .add_option_function<std::string>("--background", set_background,
                                        "Colour behind transparent pixels [white]")
      ->check([](const std::string& text) {
        std::array<std::uint8_t, 3> color{};
        return read_color(text, color) ? ""
                                       : text + " is no color: expected white, black or #rrggbb";
      })
      ->option_text("COLOR");
  parser
      .add_option("--max-image-pixels", options.max_pixels,
                  fmt::format("Refuse larger pictures [{}]", options.max_pixels))
      ->check(in_range(std::int64_t{1}, std::int64_t{1} << 40))
      ->option_text("N");
  const auto set_memory = [&options](std::size_t megabytes) {
    options.max_memory = megabytes * kMegabyte;
  };
  parser
      .add_option_function<std::size_t>(
          "--max-image-memory", set_memory,
          fmt::format("Refuse pictures that need more memory to decode, as progressive JPEGs, "
                      "interlaced PNGs and WebPs may [{}]",
                      options.max_memory / kMegabyte))
      ->check(in_range(1, 1 << 20))
      ->option_text("MB");
}

OpenImage open_picture(const std::string& file, const ImageOptions& options) {
  OpenImage picture{file, read_image_file(file, options.max_file_bytes), nullptr};
  picture.reader = open_image(picture.bytes, file, options);
  return picture;
}

OpenImage open_standard_input(const ImageOptions& options) {
  OpenImage picture{"standard input", {}, nullptr};
  std::array<std::byte, 1 << 16> block;
  ssize_t count;
  while ((count = read(STDIN_FILENO, block.data(), block.size())) != 0) {
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw make_error("standard input: {}", std::strerror(errno));
    picture.bytes.insert(picture.bytes.end(), block.begin(), block.begin() + count);
    if (std::cmp_greater(picture.bytes.size(), options.max_file_bytes)) {
      throw make_error("standard input: larger than the {} bytes accepted for an image",
                       options.max_file_bytes);
    }
  }
  picture.reader = open_image(picture.bytes, picture.file, options);
  return picture;
}

std::vector<OpenImage> open_pictures(const std::vector<std::string>& files,
                                     const ImageOptions& options) {
  std::vector<OpenImage> pictures;
  for (const std::string& file : files) pictures.push_back(open_picture(file, options));
  return pictures;
}

PreparedImage prepare(Engine& engine, const OpenImage& picture) {
  PreparedImage prepared = engine.prepare(*picture.reader);
  if (prepared.warnings > 0) {
    print_warning(fmt::format("{}: damaged in {} places", picture.file, prepared.warnings));
  }
  return prepared;
}

std::vector<PreparedImage> prepare(Engine& engine, const std::vector<OpenImage>& pictures) {
  std::vector<PreparedImage> prepared;
  for (const OpenImage& picture : pictures) prepared.push_back(prepare(engine, picture));
  return prepared;
}

}  // namespace fvlm
