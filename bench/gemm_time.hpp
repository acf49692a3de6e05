// What is known of a matrix product that was timed, as a line of JSON and of a table.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace fvlm {

struct GemmTime {
  std::string pass;  // see ModelGemm
  std::string name;
  std::int64_t count = 0;  // of such products in the pass
  std::int64_t m = 0;      // C [m, n] = A [m, k] W [n, k]^T; "ffn": also C W2 [k, n]^T
  std::int64_t n = 0;
  std::int64_t k = 0;
  std::string format;   // of the weights
  std::string variant;  // the kernels, with their tiles
  double seconds = 0;
  double flops = 0;
  double bytes = 0;            // weights, input and output, each once
  double library_seconds = 0;  // 0: not measured
  // Of a GEMM that has several tiles to choose from: each tile's name and seconds.
  std::vector<std::pair<std::string, double>> tiles{};

  bool is_memory_bound(double peak_flops, double bandwidth) const {
    return bytes / bandwidth > flops / peak_flops;
  }
  // What the roofline allows, of the time taken.
  double fraction(double peak_flops, double bandwidth) const {
    return std::max(bytes / bandwidth, flops / peak_flops) / seconds;
  }
};

// An object of JSON on one line. Peaks of 0 are unknown; what is unknown is null.
inline std::string json_of(const GemmTime& t, double peak_flops, double bandwidth) {
  const bool has_roofline = peak_flops > 0 && bandwidth > 0;
  const std::string roofline =
      has_roofline ? fmt::format(R"("bound": "{}", "fraction": {:.3f})",
                                 t.is_memory_bound(peak_flops, bandwidth) ? "bandwidth" : "compute",
                                 t.fraction(peak_flops, bandwidth))
                   : R"("bound": null, "fraction": null)";
  const std::string library =
      t.library_seconds > 0 ? fmt::format(R"("cublaslt_us": {:.2f}, "of_cublaslt": {:.3f})",
                                          1e6 * t.library_seconds, t.library_seconds / t.seconds)
                            : R"("cublaslt_us": null, "of_cublaslt": null)";
  std::string tiles;
  for (const auto& [name, seconds] : t.tiles) {
    tiles += fmt::format(R"({}"{}": {:.2f})", tiles.empty() ? "" : ", ", name, 1e6 * seconds);
  }
  return fmt::format(
      R"({{"pass": "{}", "name": "{}", "count": {}, "m": {}, "n": {}, "k": {}, "format": "{}", )"
      R"("variant": "{}", "us": {:.2f}, "tflop_s": {:.2f}, "tb_s": {:.3f}, {}, {}, "tiles_us": {{{}}}}})",
      t.pass, t.name, t.count, t.m, t.n, t.k, t.format, t.variant, 1e6 * t.seconds,
      t.flops / t.seconds / 1e12, t.bytes / t.seconds / 1e12, roofline, library, tiles);
}

}  // namespace fvlm
