#include "tools/commands/bench/kernels.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/gemm_bench.hpp"
#include "bench/gemm_time.hpp"
#include "kernels/cuda/host/limits.hpp"
#include "runtime/engine/load_runner.hpp"
#include "runtime/engine/model_gemms.hpp"
#include "runtime/engine/tuning.hpp"
#include "tools/commands/command.hpp"
#include "tools/commands/shared/stopwatch.hpp"
#include "tools/commands/shared/terminal.hpp"

namespace fvlm {
namespace {

struct Peaks {
  double flops = 0;      // of bf16 products; 0: not measured
  double bandwidth = 0;  // bytes a second
};

class Report {
 public:
  Report(bool as_json, const Peaks& peaks) : as_json_(as_json), peaks_(peaks) {}

  void begin(const std::string& title, const std::string& note) {
    if (as_json_) return;
    fmt::print("{}\n{}\n\n", title, note);
    fmt::print("{:<12} {:<9} {:>3} {:>24}  {:<5} {:>9} {:>8} {:>6} {:>5} {:>9} {:>6}  {}\n", "pass",
               "product", "x", "m x n x k", "type", "us", "TFLOP/s", "TB/s", "%", "cuBLASLt",
               "ratio", "kernels");
  }
  void add(const GemmTime& t) {
    if (as_json_) {
      rows_.push_back(nlohmann::json::parse(json_of(t, peaks_.flops, peaks_.bandwidth)));
      return;
    }
    const std::string share =
        peaks_.flops > 0 ? fmt::format("{:.0f}", 100 * t.fraction(peaks_.flops, peaks_.bandwidth))
                         : "-";
    const bool has_library = t.library_seconds > 0;
    fmt::print(
        "{:<12} {:<9} {:>3} {:>24}  {:<5} {:>9.2f} {:>8.1f} {:>6.3f} {:>5} {:>9} {:>6}  {}\n",
        t.pass, t.name, t.count, fmt::format("{} x {} x {}", t.m, t.n, t.k), t.format,
        1e6 * t.seconds, t.flops / t.seconds / 1e12, t.bytes / t.seconds / 1e12, share,
        has_library ? fmt::format("{:.2f}", 1e6 * t.library_seconds) : "-",
        has_library ? fmt::format("{:.2f}", t.library_seconds / t.seconds) : "-",
        t.variant + faster_tile(t));
    std::fflush(stdout);
  }
  // ", 64x64 takes 8.1" if a tile that was not chosen is clearly faster on a device.
  std::string faster_tile(const GemmTime& t) const {
    constexpr double kClearly = 0.97;
    const auto fastest =
        std::min_element(t.tiles.begin(), t.tiles.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; });
    if (peaks_.flops <= 0 || fastest == t.tiles.end()) return "";
    if (fastest->second > kClearly * t.seconds) return "";
    return fmt::format(", {} takes {:.2f}", fastest->first, 1e6 * fastest->second);
  }
  void end(nlohmann::json head) {
    if (!as_json_) return;
    head["products"] = rows_;
    fmt::print("{}\n", head.dump(2));
  }

 private:
  bool as_json_;
  Peaks peaks_;
  std::vector<nlohmann::json> rows_;
};

template <Target target>
struct OnTarget {};

struct Library {
  std::unique_ptr<LibraryGemm> gemm;
  std::string reason;  // why there is none
};

// From an earlier start of the engine.
template <Target target>
TileTable remembered_tiles(int device) {
  TuningIdentity identity =
      CudaBackend<target, BFloat16>(WeightFormat::kBF16, device).tuning_identity();
  identity.program = tuning_version();
  return load_tuning(tuning_file(identity), identity).value_or(TileTable());
}

template <Target target>
void measure(const EngineOptions& engine, const FastVlmConfig& config,
             const std::vector<ModelGemm>& products, int runs, const LibraryGemm* library,
             Report& report) {
  const auto run = [&](auto bench) {
    for (const ModelGemm& product : products) {
      for (const GemmTime& time : bench.measure(product)) report.add(time);
    }
  };
  if (engine.precision == Precision::kF32) {
    run(GemmBench<target, float>(config, engine.device_index, runs, library));
  } else {
    run(GemmBench<target, BFloat16>(
        config, engine.device_index, runs, library,
        engine.tuning ? remembered_tiles<target>(engine.device_index) : TileTable()));
  }
}

}  // namespace

int bench_kernels(const EngineOptions& engine, const Checkpoint& checkpoint, int runs, bool json) {
  constexpr std::int64_t kQuestionTokens = 24;  // of a short prompt, around the image
  const FastVlmConfig& config = checkpoint.config();
  const BackendChoice choice{.device = engine.device,
                             .device_index = engine.device_index,
                             .precision = engine.precision,
                             .cache_tokens = kPageTokens};
  const FormatChoice formats = format_choice(engine.precision);
  GemmPasses passes{.prefill_rows = config.vision.tokens() + kQuestionTokens};
  const auto products =
      model_gemms(config, formats, passes, [&](GemmCounter& plan, FastVlm<GemmCounter>& model) {
        ShapeLoader<GemmCounter> shapes(plan, &checkpoint);
        model.visit(shapes);
      });
  [[maybe_unused]] const auto report_on = [&]<Target target>(OnTarget<target>, const Peaks& peaks,
                                                             const Library& library) {
    Report report(json, peaks);
    const Stopwatch measuring;
    const std::string device = device_name<target>(engine.device_index);
    const std::string limits =
        peaks.flops > 0
            ? fmt::format("limits: bf16 product {:.1f} TFLOP/s, copy {:.2f} TB/s; {}",
                          peaks.flops / 1e12, peaks.bandwidth / 1e12,
                          library.gemm ? "cuBLASLt: bare products in the activations' type"
                                       : "no cuBLASLt: " + library.reason)
            : "limits: not measured in the emulator, whose times say nothing of a device";
    report.begin(fmt::format("{} on {}, medians of {} runs", config.name, device, runs), limits);
    print_detail(fmt::format("measuring {} products on {}", products.size(), device));
    measure<target>(engine, config, products, runs, library.gemm.get(), report);
    print_detail(fmt::format("measured them in {:.2f} s", measuring.seconds()));
    report.end(
        {{"model", config.name},
         {"device", device},
         {"precision", token_formats(checkpoint, formats)},
         {"runs", runs},
         {"limits", {{"matmul_bf16_flops", peaks.flops}, {"copy_bandwidth", peaks.bandwidth}}},
         {"cublaslt", library.gemm ? nlohmann::json(true) : nlohmann::json(library.reason)}});
  };
#ifdef FVLM_HAS_EMULATOR
  if (choice.device == Device::kCudaEmulated) {
    check_device_index(choice);
    report_on(OnTarget<Target::kEmulated>{}, {}, {nullptr, "the emulator has none"});
    return kExitSuccess;
  }
#endif
  if (!takes_cuda(checkpoint, choice)) {
    throw Error(
        "--kernels measures the CUDA backend, and no CUDA device is used here; on a machine with "
        "one, "
        "give --device cuda");
  }
#ifdef FVLM_HAS_CUDA
  use_device<Target::kDevice>(engine.device_index);
  const GpuLimits limits = measure_gpu_limits();
  Library library;
  library.gemm = LibraryGemm::load(library.reason);
  report_on(OnTarget<Target::kDevice>{}, {limits.bf16_flops, limits.bandwidth}, library);
#endif
  return kExitSuccess;
}

}  // namespace fvlm
