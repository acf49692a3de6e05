// fastvlm bench: the stages of an answer, each timed and compared with this machine's roofline,
// which is measured first in the same run. Fractions say how near its roof a stage comes:
//   encoder, prefill   compute-bound: FLOPs / time / peak FLOP/s
//   decode             bandwidth-bound: bytes of weights / time / memory bandwidth
// The peak is that of multiply-adds on registers, on a GPU that of cuBLAS's GEMM, whose bandwidth
// is a copy's: bytes read and written. The limit of TTFT is the FLOPs of encoder and prefill at the
// peak.
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "fvlm/image.hpp"
#include "kernels/cpu/limits.hpp"
#include "kernels/cuda/host/limits.hpp"
#include "kernels/cuda/primitives/memory.hpp"
#include "net/command_line/flag_checks.hpp"
#include "runtime/engine/load_runner.hpp"
#include "runtime/engine/model_work.hpp"
#include "runtime/image/fit.hpp"
#include "tools/commands/bench/kernels.hpp"
#include "tools/commands/command.hpp"
#include "tools/commands/shared/options.hpp"
#include "tools/commands/shared/report.hpp"
#include "tools/commands/shared/stopwatch.hpp"
#include "tools/commands/shared/terminal.hpp"

namespace fvlm {
namespace {

constexpr std::int64_t kTextTokens = 24;   // of a short prompt, around the image
constexpr std::int64_t kDecodeSteps = 32;  // of each run

struct BenchOptions {
  EngineOptions engine;
  int runs = 5;
  bool json = false;
  bool kernels = false;
};

// Seconds of all runs of one stage.
struct Times {
  std::vector<double> seconds;

  template <class Work>
  void add(const Work& work) {
    const Stopwatch watch;
    work();
    seconds.push_back(watch.seconds());
  }
  double quantile(double q) const {
    std::vector<double> sorted = seconds;
    std::sort(sorted.begin(), sorted.end());
    return sorted[static_cast<std::size_t>(q * static_cast<double>(sorted.size() - 1))];
  }
  double median() const { return quantile(0.5); }
  // "1.234 s (1.201 .. 1.310)"
  std::string text() const {
    return fmt::format("{:8.4f} s  ({:.4f} .. {:.4f})", median(), quantile(0), quantile(1));
  }
};

// A picture as a phone takes it, 12 megapixels; its content does not matter.
Image large_image() {
  Image image{4000, 3000, std::vector<std::uint8_t>(4000 * 3000 * 3)};
  for (std::size_t i = 0; i < image.rgb.size(); ++i)
    image.rgb[i] = static_cast<std::uint8_t>(i * 2654435761U >> 24);
  return image;
}

struct Limits {
  double f32_flops = 0;  // 0: not measured, because nothing here multiplies so
  double bf16_flops = 0;
  double bandwidth = 0;

  double matmul() const { return std::max(f32_flops, bf16_flops); }
  // "f32 0.401 TFLOP/s, bf16 3.412 TFLOP/s"
  std::string peaks_text() const {
    std::vector<std::string> peaks;
    for (const auto& [type, flops] : {std::pair("f32", f32_flops), std::pair("bf16", bf16_flops)}) {
      if (flops > 0) peaks.push_back(fmt::format("{} {:.3f} TFLOP/s", type, flops / 1e12));
    }
    return fmt::format("{}", fmt::join(peaks, ", "));
  }
};

Limits limits_of(bool is_gpu, int device_index, int threads) {
#ifdef FVLM_HAS_CUDA
  if (is_gpu) {
    use_device<Target::kDevice>(device_index);
    const GpuLimits gpu = measure_gpu_limits();
    return {0, gpu.bf16_flops, gpu.bandwidth};
  }
#else
  static_cast<void>(is_gpu);
  static_cast<void>(device_index);
#endif
  const CpuLimits cpu = measure_cpu_limits(threads);
  return {cpu.f32_flops, cpu.bf16_flops, cpu.read_bandwidth};
}

struct Measured {
  Limits limits;
  std::string model, device, precision;
  double load_s = 0;
  std::int64_t weight_bytes = 0;
  Times preprocess, encoder, prefill, ttft, decode;
  ModelWork work;
};

// One pass through all stages, for --verbose.
std::string text_of_run(int run, const Measured& m) {
  const auto last = [](const Times& times) { return times.seconds.back(); };
  return fmt::format(
      "{}: preprocess {:.4f} s, encoder {:.4f} s, prefill {:.4f} s, first token {:.4f} s, decode "
      "{:.4f} s",
      run < 0 ? "warm-up" : fmt::format("run {}", run + 1), last(m.preprocess), last(m.encoder),
      last(m.prefill), last(m.ttft), last(m.decode));
}

Measured measure(const BenchOptions& options, const Checkpoint& checkpoint) {
  const FastVlmConfig& config = checkpoint.config();
  const std::int64_t rows = config.vision.tokens() + kTextTokens;
  const std::int64_t pages = (rows + kDecodeSteps) / kPageTokens + 1;
  const BackendChoice choice{.device = options.engine.device,
                             .device_index = options.engine.device_index,
                             .tuning = options.engine.tuning,
                             .precision = options.engine.precision,
                             .threads = options.engine.threads,
                             .cache_tokens = pages * kPageTokens};
  check_device_index(choice);  // before what takes seconds
  ProgressLine progress("fastvlm: measuring " + options.engine.model_path.string());
  Measured m;
  const Stopwatch roofline;
  m.limits = limits_of(takes_cuda(checkpoint, choice), choice.device_index,
                       thread_count(options.engine.threads));
  print_detail(fmt::format("measured the roofline in {:.2f} s: {}, reading {:.1f} GB/s",
                           roofline.seconds(), m.limits.peaks_text(), m.limits.bandwidth / 1e9));
  progress.update(0, "loading");
  reset_peak_memory();  // what follows is the model's
  const Stopwatch loading;
  const auto runner = load_runner(checkpoint, choice);
  m.load_s = loading.seconds();
  m.model = config.name;
  m.device = runner->facts().device;
  m.weight_bytes = runner->facts().weight_bytes;
  const FormatChoice formats = format_choice(options.engine.precision);
  m.precision = token_formats(checkpoint, formats);
  m.work = model_work(checkpoint, rows, formats);
  print_detail(fmt::format("loaded {} on {} in {:.2f} s: {}, {:.0f} MB of weights",
                           options.engine.model_path.string(), m.device, m.load_s, m.precision,
                           static_cast<double>(m.weight_bytes) / 1e6));

  const Image image = large_image();
  const std::int64_t side = config.vision.image_size;
  const auto pixel_bytes = static_cast<std::size_t>(side * side * 3);
  const Pixels pixels = runner->pixel_memory(pixel_bytes);
  std::vector<std::int32_t> page_list(static_cast<std::size_t>(pages));
  std::iota(page_list.begin(), page_list.end(), 0);
  const auto next_rows = [&](std::int64_t count, std::int64_t position) {
    DecoderBatch batch;
    batch.add(count, position, page_list);
    return batch;
  };
  const std::vector<std::int32_t> text(static_cast<std::size_t>(kTextTokens), 1);
  const PrefillPass prompt{
      .input = {{.image = 0}, {.ids = text}}, .batch = next_rows(rows, 0), .last_rows = {rows - 1}};
  const NextTokens logits{.vocabulary = config.text.vocab_size};

  const auto preprocess = [&] {
    fit_image(*open_pixels(image), config.preprocessing, side, {pixels.get(), pixel_bytes});
  };
  const auto encode = [&] {
    runner->encode(std::span(&pixels, 1), {});
    runner->wait_until_encoded();
  };
  const auto prefill = [&] { runner->prefill(prompt, logits, {}); };
  for (int run = -1; run < options.runs; ++run) {
    if (run == 0)
      m.preprocess = m.encoder = m.prefill = m.ttft = m.decode = {};  // the first one warms up
    m.preprocess.add(preprocess);
    m.encoder.add(encode);
    m.prefill.add(prefill);
    m.ttft.add([&] {
      preprocess();
      encode();
      prefill();
    });
    m.decode.add([&] {
      for (std::int64_t step = 0; step < kDecodeSteps; ++step)
        runner->decode(std::span(text).first(1), next_rows(1, rows + step), logits);
    });
    print_detail(text_of_run(run, m));
    progress.update((run + 2.0) / (options.runs + 1));
  }
  return m;
}

int bench(const BenchOptions& options) {
  const int threads = thread_count(options.engine.threads);
  const Checkpoint checkpoint =
      Checkpoint::open(options.engine.model_path, options.engine.model_base, print_warning);
  if (options.kernels) {
    return bench_kernels(options.engine, checkpoint, options.runs, options.json);
  }
  const Measured m = measure(options, checkpoint);
  const Limits& limits = m.limits;
  const double matmul = limits.matmul();
  const std::int64_t rows = checkpoint.config().vision.tokens() + kTextTokens;
  const double step_s = m.decode.median() / kDecodeSteps;
  const double encoder_fraction = m.work.encoder.flops / m.encoder.median() / matmul;
  const double prefill_fraction = m.work.prefill.flops / m.prefill.median() / matmul;
  const double decode_fraction = m.work.decode.weight_bytes / step_s / limits.bandwidth;
  const double ttft_limit_s = (m.work.encoder.flops + m.work.prefill.flops) / matmul;
  const std::int64_t peak = peak_memory_bytes();
  if (options.json) {
    const nlohmann::json report = {
        {"model", m.model},
        {"device", m.device},
        {"precision", m.precision},
        {"threads", threads},
        {"runs", options.runs},
        {"limits",
         {{"matmul_flops", matmul},
          {"matmul_f32_flops", limits.f32_flops},
          {"matmul_bf16_flops", limits.bf16_flops},
          {"read_bandwidth", limits.bandwidth},
          {"ttft_s", ttft_limit_s}}},
        {"load_s", m.load_s},
        {"preprocess_s", m.preprocess.median()},
        {"encoder_s", m.encoder.median()},
        {"encoder_fraction", encoder_fraction},
        {"prefill_tok_s", static_cast<double>(rows) / m.prefill.median()},
        {"prefill_fraction", prefill_fraction},
        {"ttft_s", m.ttft.median()},
        {"decode_tok_s", 1 / step_s},
        {"decode_fraction", decode_fraction},
        {"peak_rss_bytes", peak},
        {"weights_bytes", m.weight_bytes}};
    fmt::print("{}\n", report.dump(2));
    return kExitSuccess;
  }
  fmt::print("{} on {}, {} runs: median (fastest .. slowest)\n", m.model, m.device, options.runs);
  fmt::print("limits      {}, reading {:.1f} GB/s\n", limits.peaks_text(), limits.bandwidth / 1e9);
  fmt::print("load        {:8.4f} s\n", m.load_s);
  fmt::print("preprocess  {}  of 12 megapixels\n", m.preprocess.text());
  fmt::print("encoder     {}  {:.0f} GFLOP, {:.0f} % of peak FLOP/s\n", m.encoder.text(),
             m.work.encoder.flops / 1e9, 100 * encoder_fraction);
  fmt::print("prefill     {}  {} tokens, {:.0f} tok/s, {:.0f} % of peak FLOP/s\n", m.prefill.text(),
             rows, static_cast<double>(rows) / m.prefill.median(), 100 * prefill_fraction);
  fmt::print("first token {}  limit {:.3f} s\n", m.ttft.text(), ttft_limit_s);
  fmt::print("decode      {}  {} tokens, {:.1f} tok/s, {:.0f} % of peak bandwidth\n",
             m.decode.text(), kDecodeSteps, 1 / step_s, 100 * decode_fraction);
  fmt::print("memory      {:.0f} MB of weights, {:.0f} MB at the peak\n",
             static_cast<double>(m.weight_bytes) / 1e6, static_cast<double>(peak) / 1e6);
  return kExitSuccess;
}

}  // namespace

Command add_bench(CLI::App& program) {
  CLI::App* parser = program.add_subcommand(
      "bench", "Measure encoder, prefill and decode against this machine's roofline");
  const auto options = std::make_shared<BenchOptions>();
  add_model_flags(*parser, options->engine);
  parser->add_option("--runs", options->runs, "Runs of each stage, after one to warm up [5]")
      ->check(in_range(1, 1000))
      ->option_text("N");
  parser->add_flag("--json", options->json, "Print one JSON object");
  parser->add_flag(
      "--kernels", options->kernels,
      "Instead, time each matrix product of the model on the CUDA device, alone, with the norm, "
      "bias, activation and residual that belong to it; beside it cuBLASLt's bare product, the "
      "best "
      "of its first eight algorithms, if the library is there. A time is the median of --runs CUDA "
      "graphs of such launches, whose weights, inputs and outputs take turns over more than twice "
      "the L2 cache, so that each comes from memory");
  return {parser, [options] { return bench(*options); }};
}

}  // namespace fvlm
