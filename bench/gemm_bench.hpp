// Each matrix product of a model on the CUDA backend, timed alone: the backend's own operation,
// with the norm, bias, activation, rotation and residual that belong to it, and beside it the bare
// product by cuBLASLt, at the best of its first eight algorithms.
//
// What is timed: launches one after the other in a CUDA graph, as in a model's pass, so that
// neither the host nor gaps between launches count; each launch has a copy of weights, input and
// output of its own, in turns over more than twice the L2 cache, so that all of them come from
// memory. A time is the median of some such graphs divided by their launches.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "bench/gemm_time.hpp"
#include "kernels/cuda/host/cuda.hpp"
#include "kernels/cuda/host/library_gemm.hpp"
#include "kernels/cuda/primitives/launch_log.hpp"
#include "runtime/engine/gemm_key.hpp"
#include "runtime/engine/model_gemms.hpp"

namespace fvlm {

template <Target target, class E>
class GemmBench {
  using B = CudaBackend<target, E>;
  using Kind = PlannedGemm::Kind;

 public:
  // `runs` graphs are timed; `library` may be null. GEMMs have the tiles of `tiles`, others the
  // rule's; those of the encoder and of prefill are timed with each tile, too.
  GemmBench(const FastVlmConfig& config, int device, int runs, const LibraryGemm* library,
            TileTable tiles = {})
      : config_(config), device_(device), runs_(runs), library_(library), tiles_(std::move(tiles)) {
    use_device<target>(device);
    properties_ = device_properties<target>();
    fill_noise();
  }

  // One time, or two for a feed-forward layer that the device runs as two products.
  std::vector<GemmTime> measure(const ModelGemm& product) {
    B backend({product.gemm.weights.format}, device_);
    backend.take_tiles(tiles_);
    const MatrixShape& fc1 = product.gemm.weights;
    if (product.gemm.kind != Kind::kFeedForward) return {time(backend, product)};
    if (backend.fuses_feed_forward(fc1.in)) return {time(backend, product)};
    ModelGemm first = product;
    first.name = "fc1";
    first.gemm.kind = Kind::kLinear;
    first.gemm.epilogue = {.activation = Activation::kGelu};
    ModelGemm second = first;
    second.name = "fc2";
    std::swap(second.gemm.weights.out, second.gemm.weights.in);
    second.gemm.epilogue = {.accumulate = true};
    return {time(backend, first), time(backend, second)};
  }

 private:
  using Memory = DeviceBuffer<target>;
  static constexpr bool kOnDevice = target == Target::kDevice;
  static constexpr std::int64_t kPosition = 280;  // of decode steps
  static constexpr std::int64_t kPagesEach = kPosition / kPageTokens + 1;

  // What one launch reads and writes.
  struct Copy {
    typename B::Linear weights, more_weights;  // those of fc2
    Memory input, output;
  };

  // Random numbers, small as bfloat16 and as float: with zeros a device would draw less power.
  void fill_noise() {
    const std::size_t count = kOnDevice ? std::size_t{16} << 20 : std::size_t{1} << 16;
    PinnedBuffer<target> host(count * sizeof(BFloat16));
    auto* const words = host.template as<BFloat16>();
    std::uint32_t state = 12345;
    for (std::size_t i = 0; i < count; ++i) {
      state = state * 1664525U + 1013904223U;
      words[i] = BFloat16((static_cast<float>(state >> 16 & 2047U) - 1023.5F) / 32768);
    }
    noise_ = Memory(host.bytes());
    stream_.copy_to_device(noise_.template as<std::byte>(), words, host.bytes());
    stream_.synchronize();
  }
  Memory random(std::size_t bytes) {
    Memory memory(bytes);
    for (std::size_t at = 0; at < bytes; at += noise_.bytes()) {
      stream_.copy_on_device(memory.template as<std::byte>() + at, noise_.template as<std::byte>(),
                             std::min(noise_.bytes(), bytes - at));
    }
    return memory;
  }

  typename B::Linear random_weights(const MatrixShape& shape, bool has_bias) {
    const std::int64_t row_bytes = DeviceMatrix::bytes_of_row(shape.format, shape.in);
    typename B::Linear linear{.shape = shape,
                              .matrix = {},
                              .weight = random(static_cast<std::size_t>(shape.out * row_bytes)),
                              .scales = {},
                              .bias = {}};
    if (shape.format.is_quantised()) {
      linear.scales = random(static_cast<std::size_t>(shape.out * shape.format.scales(shape.in)) *
                             sizeof(BFloat16));
    }
    if (has_bias) linear.bias = random(static_cast<std::size_t>(shape.out) * sizeof(float));
    linear.matrix = {.weight = linear.weight.template as<std::byte>(),
                     .scales = linear.scales.template as<BFloat16>(),
                     .bias = linear.bias.template as<float>(),
                     .out = static_cast<int>(shape.out),
                     .in = static_cast<int>(shape.in),
                     .row_bytes = static_cast<int>(row_bytes),
                     .format = shape.format};
    return linear;
  }
  static std::size_t bytes_of(const typename B::Linear& linear) {
    return linear.weight.bytes() + linear.scales.bytes();
  }
  // How many copies of so many bytes are more than the L2 cache keeps.
  std::int64_t copies_of(std::size_t bytes) const {
    if (!kOnDevice) return 1;
    constexpr std::size_t kMost = 512;
    return static_cast<std::int64_t>(
        std::clamp(2 * properties_.cache_bytes / bytes + 1, std::size_t{1}, kMost));
  }

  // Median seconds of one launch. launch(i) enqueues one on copy i of `copies`.
  template <class Launch>
  double seconds_of(Stream<target>& stream, std::int64_t copies, const Launch& launch) {
    const auto round = [&] {
      for (std::int64_t i = 0; i < copies; ++i) launch(i);
    };
    Event<target> begin;
    Event<target> end;
    const auto seconds = [&](const auto& work) {
      stream.record(begin);
      work();
      stream.record(end);
      end.synchronize();
      return double{end.since(begin)} / 1e3;
    };
    if (!kOnDevice) return seconds(round);
    round();
    constexpr double kEnough = 2e-3;  // of a graph, so that its own launch hardly counts
    constexpr double kMostRounds = 100;
    const double once = std::max(seconds(round), 1e-7);
    const int rounds = static_cast<int>(std::clamp(kEnough / once, 1.0, kMostRounds));
    const auto graph = Graph<target>::capture(stream, [&] {
      for (int i = 0; i < rounds; ++i) round();
    });
    graph.launch(stream);
    std::vector<double> all;
    for (int i = 0; i < runs_; ++i) all.push_back(seconds([&] { graph.launch(stream); }));
    std::nth_element(all.begin(), all.begin() + runs_ / 2, all.end());
    return all[static_cast<std::size_t>(runs_ / 2)] / (rounds * static_cast<double>(copies));
  }

  GemmTime time(B& backend, const ModelGemm& product) {
    const PlannedGemm& gemm = product.gemm;
    const MatrixShape& shape = gemm.weights;
    const bool in_decoder = product.stage != ModelGemm::Stage::kEncoder;
    const bool has_bias = !in_decoder || gemm.kind == Kind::kAttentionInput;
    const bool is_fused = gemm.kind == Kind::kFeedForward;
    const std::int64_t rows = gemm.rows;
    const std::int64_t out = columns_of(gemm);
    const std::size_t element = gemm.kind == Kind::kLogits ? sizeof(float) : sizeof(E);
    const auto input_bytes = static_cast<std::size_t>(rows * shape.in) * sizeof(E);
    const auto output_bytes = static_cast<std::size_t>(rows * out) * element;
    const MatrixShape transposed{shape.in, shape.out, shape.rows, shape.format};

    std::vector<Copy> copies;
    const auto add_copy = [&] {
      copies.push_back({random_weights(shape, has_bias),
                        is_fused ? random_weights(transposed, has_bias) : typename B::Linear{},
                        random(input_bytes), random(output_bytes)});
    };
    add_copy();
    std::size_t bytes =
        bytes_of(copies[0].weights) + bytes_of(copies[0].more_weights) + input_bytes + output_bytes;
    const std::int64_t count = copies_of(bytes);
    while (std::ssize(copies) < count) add_copy();
    if (gemm.epilogue.accumulate || is_fused) bytes += output_bytes;  // the residual

    // Rows of a prompt, or of as many sequences.
    const bool decodes = product.stage == ModelGemm::Stage::kDecode;
    const std::int64_t page_count = decodes ? rows * kPagesEach : rows / kPageTokens + 1;
    std::vector<std::int32_t> pages(static_cast<std::size_t>(page_count));
    std::iota(pages.begin(), pages.end(), 0);
    DecoderBatch batch;
    batch.is_prefill = !decodes;
    for (std::int64_t i = 0; decodes && i < rows; ++i) {
      batch.add(1, kPosition,
                std::span(pages).subspan(static_cast<std::size_t>(i * kPagesEach), kPagesEach));
    }
    if (!decodes) batch.add(rows, 0, pages);
    const auto sums = static_cast<std::size_t>(TokenKernels<target, E>::linear_floats(rows, shape));
    typename B::Context context = backend.make_context(
        {.scratch_bytes = input_bytes + sums * sizeof(float) + (std::size_t{1} << 20),
         .images = 0,
         .rows = in_decoder ? rows : 0,
         .outputs = in_decoder ? rows : 0,
         .vocabulary = 1,
         .cache_pages = page_count});
    auto norm =
        backend.pack(NormSpec{.channels = shape.in},
                     HostNorm{std::vector<float>(static_cast<std::size_t>(shape.in), 1.0F), {}});
    if (gemm.kind == Kind::kAttentionInput || gemm.kind == Kind::kSwiglu) {
      for (Copy& copy : copies) backend.fold(norm, copy.weights);  // as in a model
    }
    const Qwen2Config& text = config_.text;
    const AttentionShape attention{text.heads, text.kv_heads, text.head_dim(), text.rope_theta};
    typename B::Cache cache;
    if (gemm.kind == Kind::kAttentionInput) {
      cache = backend.make_cache({1, page_count, text.kv_heads, text.head_dim()}, attention);
    }
    if (in_decoder) context.on_device(batch, rows);  // which says what kind of pass it is
    context.synchronize();
    stream_.synchronize();

    const auto launch = [&](std::int64_t i) {
      Copy& copy = copies[static_cast<std::size_t>(i)];
      const View<const E> in{copy.input.template as<E>(), rows, shape.in, shape.in};
      const View<E> result{copy.output.template as<E>(), rows, out, out};
      switch (gemm.kind) {
        case Kind::kLinear:
          return backend.linear(context, in, copy.weights, gemm.epilogue, result);
        case Kind::kFeedForward:
          return backend.feed_forward(context, in, copy.weights, copy.more_weights, in, {}, result);
        case Kind::kAttentionInput:
          return backend.attention_input(context, in, norm, copy.weights, attention, batch, 0,
                                         cache, result);
        case Kind::kSwiglu:
          return backend.swiglu(context, in, norm, copy.weights, result);
        case Kind::kLogits:
          return backend.logits(context, in, norm, copy.weights,
                                {copy.output.template as<float>(), rows, out, out});
      }
    };
    GemmTime time{.pass = product.pass(),
                  .name = product.name,
                  .count = product.count,
                  .m = rows,
                  .n = shape.out,
                  .k = shape.in,
                  .format = std::string(name_of(shape.format.type)),
                  .variant = {}};
    {
      const LaunchLog log;
      launch(0);
      for (const std::string& kernel : log.kernels()) {
        time.variant += (time.variant.empty() ? "" : " + ") + short_kernel_name(kernel);
      }
    }
    time.seconds = seconds_of(context.stream(), count, launch);
    if (const auto key = key_of(gemm); sizeof(E) == 2 && key && !decodes) {
      for (int tile = 0; tile < tile_count(properties_.major, *key); ++tile) {
        backend.take_tiles({{*key, tile}});
        time.tiles.emplace_back(tile_name(properties_.major, *key, tile),
                                seconds_of(context.stream(), count, launch));
      }
    }
    time.flops = (is_fused ? 4.0 : 2.0) * static_cast<double>(rows * shape.out * shape.in);
    time.bytes = static_cast<double>(bytes);
    copies.clear();
    if constexpr (kOnDevice) {
      if (library_ != nullptr) time.library_seconds = library_seconds(gemm);
    }
    return time;
  }

  // Of the operation's result.
  std::int64_t columns_of(const PlannedGemm& gemm) const {
    switch (gemm.kind) {
      case Kind::kFeedForward:
        return gemm.weights.in;
      case Kind::kAttentionInput:
        return config_.text.heads * config_.text.head_dim();
      case Kind::kSwiglu:
        return gemm.weights.out / 2;
      case Kind::kLinear:
      case Kind::kLogits:
        break;
    }
    return gemm.weights.out;
  }

  // The bare product in the type of the activations; 0 if the library has none of this shape.
  double library_seconds(const PlannedGemm& gemm) requires kOnDevice {
    const MatrixShape& shape = gemm.weights;
    const bool is_logits = gemm.kind == Kind::kLogits;
    double seconds = library_seconds({gemm.rows, shape.out, shape.in, sizeof(E) == 4, is_logits});
    if (gemm.kind == Kind::kFeedForward) {
      const double second = library_seconds({gemm.rows, shape.in, shape.out, sizeof(E) == 4});
      seconds = seconds > 0 && second > 0 ? seconds + second : 0;
    }
    return seconds;
  }
  double library_seconds(const LibraryGemm::Shape& shape) requires kOnDevice {
    constexpr int kMostAlgorithms = 8;
    const auto plan = library_->plan(shape, kMostAlgorithms);
    const std::size_t element = shape.has_float_result ? sizeof(float) : sizeof(E);
    const auto bytes = [](std::int64_t elements, std::size_t size) {
      return static_cast<std::size_t>(elements) * size;
    };
    const std::size_t a = bytes(shape.m * shape.k, sizeof(E));
    const std::size_t b = bytes(shape.n * shape.k, sizeof(E));
    const std::size_t c = bytes(shape.m * shape.n, element);
    std::vector<std::vector<Memory>> copies(static_cast<std::size_t>(copies_of(a + b + c)));
    for (auto& copy : copies) {
      for (const std::size_t one : {a, b, c}) copy.push_back(random(one));
    }
    double best = 0;
    for (int i = 0; i < plan->algorithms(); ++i) {
      const double seconds = seconds_of(stream_, std::ssize(copies), [&](std::int64_t at) {
        const auto& copy = copies[static_cast<std::size_t>(at)];
        plan->run(i, stream_, copy[0].template as<void>(), copy[1].template as<void>(),
                  copy[2].template as<void>());
      });
      if (best == 0 || seconds < best) best = seconds;
    }
    return best;
  }

  const FastVlmConfig& config_;
  int device_;
  int runs_;
  const LibraryGemm* library_;
  TileTable tiles_;
  DeviceProperties properties_;
  Stream<target> stream_{};
  Memory noise_;
};

}  // namespace fvlm
