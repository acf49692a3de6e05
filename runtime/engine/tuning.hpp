// The choice of tiles by measuring, without a device: how the fastest are found, and the file in
// which they are remembered from one start to the next.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "kernels/cuda/host/tile_table.hpp"

namespace fvlm {

// Lines: who the table is for, one GEMM each, and how many there were.
std::string tuning_text(const TuningIdentity& identity, const TileTable& table);
// Nothing if the text is for another identity, is cut off, or is no such text.
std::optional<TileTable> read_tuning(std::string_view text, const TuningIdentity& identity);

// Adds the fastest tile of each of `gemms` that the table lacks, in order, while elapsed(), in
// seconds, is below `budget`; a GEMM of which not all tiles were timed in time is left out.
// seconds(gemm, tile) times one tile, and is infinite where that cannot be.
void tune(std::span<const GemmKey> gemms, int major, double budget,
          const std::function<double()>& elapsed,
          const std::function<double(const GemmKey&, int)>& seconds, TileTable& table);

// The file of a device in the cache folder; empty if there is no such folder.
std::filesystem::path tuning_file(const TuningIdentity& identity);
// The table in it. Nothing if there is no such file, or it is for something else, or corrupt.
std::optional<TileTable> load_tuning(const std::filesystem::path& file,
                                     const TuningIdentity& identity);
// Replaces it, and makes the folder; false if that cannot be done.
bool save_tuning(const std::filesystem::path& file, const TuningIdentity& identity,
                 const TileTable& table);
// This program's, for an identity.
std::string tuning_version();

}  // namespace fvlm
