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

// Times of the stages in one line.
std::string timing_line(const Statistics& statistics);

// The answer, what made it, and the same statistics; first, if it is not empty, the picture's file.
nlohmann::ordered_json answer_json(const EngineInfo& info, const Result& result,
                                   const std::string& file);

// A line of JSON, whatever bytes the names of files in it have.
std::string json_line(const nlohmann::ordered_json& object);

}  // namespace fvlm
