// Pictures named on the command line.
#pragma once

#include <CLI/CLI.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "fvlm/engine.hpp"
#include "fvlm/image.hpp"

namespace fvlm {

// --exif-orientation, --background, --max-image-pixels and --max-image-memory.
void add_picture_flags(CLI::App& parser, ImageOptions& options);

// A file whose header has been read: that it is a picture within the limits is known.
struct OpenImage {
  std::string file;
  std::vector<std::byte> bytes;
  std::unique_ptr<ImageReader> reader;  // of `bytes`
};

// Throws Error as open_image does, and if the file cannot be read.
OpenImage open_picture(const std::string& file, const ImageOptions& options);
std::vector<OpenImage> open_pictures(const std::vector<std::string>& files,
                                     const ImageOptions& options);

// Standard input as a picture. Throws Error likewise; a message calls it "standard input".
OpenImage open_standard_input(const ImageOptions& options);

// Reads them to their end for the engine's model; says on standard error which are damaged.
PreparedImage prepare(Engine& engine, const OpenImage& picture);
std::vector<PreparedImage> prepare(Engine& engine, const std::vector<OpenImage>& pictures);

}  // namespace fvlm
