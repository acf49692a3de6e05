// The flags that several commands share, and the loading of the engine they lead to.
#pragma once

#include <CLI/CLI.hpp>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "fvlm/engine.hpp"

namespace fvlm {

inline constexpr std::size_t kMegabyte = std::size_t{1} << 20;  // of flags that count in these

// --quiet and --verbose, which mean the same in every command.
void add_verbosity_flags(CLI::App& parser);

// --model-base: the base weights, if the checkpoint is an adapter or a projector alone.
void add_base_flag(CLI::App& parser, std::filesystem::path& base);

// --force: to write where something is.
void add_force_flag(CLI::App& parser, bool& force);

// --model-path, --model-base, --device, --dtype, --tuning, --threads
void add_model_flags(CLI::App& parser, EngineOptions& options);

// --temperature, --top_p, --top_k, --min_p, --repetition_penalty, --frequency_penalty,
// --presence_penalty, --num_beams, --max_new_tokens, --seed and --conv-mode; those of predict.py by
// its names, and with dashes for underscores.
void add_sampling_flags(CLI::App& parser, Sampling& sampling);

// --stop, once for each string.
void add_stop_flag(CLI::App& parser, std::vector<std::string>& stop);

// --image-file, once for each picture.
CLI::Option* add_image_flag(CLI::App& parser, std::vector<std::string>& files);

// Throws Error if the settings are out of range: known before anything slow is begun.
void check_sampling(const Sampling& sampling);

// Loads the engine, with a progress line and warnings on standard error.
std::unique_ptr<Engine> load_engine(EngineOptions options);

}  // namespace fvlm
