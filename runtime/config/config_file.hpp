// Reads config.json (and generation_config.json, if there is one) into FastVlmConfig, and writes
// it.
#pragma once

#include <filesystem>
#include <string>

#include "fvlm/models/config.hpp"
#include "runtime/config/config_keys.hpp"

namespace fvlm {

// The configuration in checkpoint folder `folder`. Two forms are understood, told apart by
// "model_type": LLaVA's ("llava_qwen2"), where all keys of the decoder lie at the top, and the
// Hugging Face port's ("fast_vlm"), where they lie in "text_config".
//
// The encoder is FastViTHD unless "vision_config" gives other sizes (our own small checkpoints
// do). Without an image size there, it is the number at the end of "mm_vision_tower"
// ("mobileclip_l_1024"), and for the Hugging Face port that of its processor's pictures, or 1024.
//
// Throws Error if the folder or file is missing, a key is missing, of a wrong type or out of range,
// sizes contradict one another, or a setting asks for something this library does not do; which
// settings there are, and what becomes of each, is in config_keys.cpp. `warn` hears of others.
FastVlmConfig read_config(const std::filesystem::path& folder, const ConfigWarning& warn = {});

// Writes FOLDER/config.json in LLaVA's form; `dtype` is PyTorch's name of the weights' type. Throws
// Error if it cannot be written.
void write_config(const FastVlmConfig& config, const std::string& dtype,
                  const std::filesystem::path& folder);

}  // namespace fvlm
