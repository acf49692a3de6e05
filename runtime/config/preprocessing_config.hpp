// How a checkpoint's pictures are prepared: what config.json says in the LLaVA layout, where
// Apple's code builds the processor, and processor_config.json or preprocessor_config.json in the
// fast_vlm layout, where Transformers' LlavaImageProcessor or CLIPImageProcessor reads it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "fvlm/models/config.hpp"
#include "runtime/config/config_keys.hpp"
#include "runtime/config/config_object.hpp"

namespace fvlm {

// "image_aspect_ratio" of the LLaVA layout: "pad", or as CLIPImageProcessor does. What
// write_preprocessing put into "vision_config" counts, too. Throws Error for other ways.
Preprocessing read_llava_preprocessing(const ConfigObject& config,
                                       const std::optional<ConfigObject>& vision_config,
                                       std::int64_t image_size);

// Writes it into a config.json of the LLaVA layout.
void write_preprocessing(const Preprocessing& picture, nlohmann::json& config);

struct ImageProcessor {
  Preprocessing fit;
  std::int64_t side = 0;  // pixels of the result
};

// The processor of a fast_vlm folder; nullopt without a file. `patch` is the side of the square of
// pixels that becomes one position. Throws Error for what Preprocessing cannot say and for colours
// that are not 0 to 1.
std::optional<ImageProcessor> read_processor(const std::filesystem::path& folder,
                                             std::int64_t patch, const ConfigWarning& warn);

}  // namespace fvlm
