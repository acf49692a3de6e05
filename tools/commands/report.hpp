// What an answer cost: as a table for people and as JSON for programs.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "fvlm/engine.hpp"

namespace fvlm {

// The most physical memory this process has held at once, mapped files included; 0 if unknown.
std::int64_t peak_memory_bytes();

// Makes peak_memory_bytes start from what is held now.
void reset_peak_memory();

// Aligned lines of stage, time and rate.
std::string statistics_table(const EngineInfo& info, const Statistics& statistics);

// The answer, what made it, and the same statistics.
nlohmann::ordered_json answer_json(const EngineInfo& info, const Result& result);

}  // namespace fvlm
