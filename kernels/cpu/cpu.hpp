// The Cpu backend: GEMM (gemm/), vector kernels (simd/), a team of threads. Activations are
// float32; matrices are float32, bfloat16 or quantised.
//
// Two layouts of a matrix, by what it is used for:
//   positions  what the GEMM reads. In bf16 on a processor that multiplies bf16 itself; else in
//              float32, which other processors multiply several times faster than they can emulate
//              bf16.
//   tokens     rows, padded with zeros, in the chosen format: read once per decode step by the
//              matrix-vector kernels. For prefill, the GEMM multiplies blocks of rows, on the way
//              made bf16 where that is native, else float32. Where the GEMM decodes as well (AMX),
//              its own order, which is read from one end to the other.
//
// A position's, a prompt's and an answer's rows have the same bits whatever else is in their pass
// and however many threads share it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "fvlm/core/buffer.hpp"
#include "fvlm/ops/backend.hpp"
#include "fvlm/ops/host_memory.hpp"
#include "kernels/cpu/gemm/gemm.hpp"
#include "kernels/cpu/simd/simd.hpp"
#include "kernels/support/thread_team.hpp"

namespace fvlm {

struct CpuOptions {
  FormatChoice formats{};
  int threads = 1;
  // What multiplies where the format is not f32. Absent: the fastest here.
  std::optional<gemm::Kernel> bf16_kernel{};
};

class Cpu : public HostMemory {
 public:
  using Element = float;
  class Context : public HostMemory::Context {
   public:
    using HostMemory::Context::Context;
    // DecoderBatch::is_prefill of the layer that began last. What an image becomes in the encoder,
    // with no layer before it, is a prompt's.
    bool is_prefill = true;
  };
  static Context make_context(const ContextSize& size) { return Context(size.scratch_bytes); }
  PassBudget pass_budget() const {
    // More rows cost hardly more only as long as the weights' way from the memory takes longer.
    return {.images = 8,
            .encoder_bytes = std::size_t{32} << 20,
            .draft_rows = bf16_kernel_ == gemm::Kernel::kTiles ? 32 : 16};
  }

  struct Linear {
    MatrixShape shape;
    std::int64_t stride = 0;  // elements of a padded row
    Buffer weight{};          // rows or what the GEMM's kernel reads
    Buffer scales{};          // of a quantised matrix
    std::vector<float> bias;  // [out], or empty

    // From this row on.
    simd::QuantisedRows quantised(std::int64_t first = 0) const {
      return {shape.format, weight.as<std::int16_t>() + first * stride * shape.format.bits() / 16,
              scales.as<BFloat16>() + first * shape.format.scales(shape.in)};
    }
    const float* bias_data() const { return bias.empty() ? nullptr : bias.data(); }
  };
  using Depthwise = simd::DepthwiseWeights;
  using Stem = simd::StemWeights;
  struct Norm {
    float eps = 0;
    HostNorm host;
  };
  // For each page and layer: the keys of each kv head transposed, [head_dim][kPageTokens], then the
  // values of each, [kPageTokens][head_dim].
  struct Cache {
    CacheShape shape;
    Buffer memory;
    std::vector<float> rotations;  // see rotation_table()

    float* keys(std::int64_t layer, std::int64_t page, std::int64_t head) const {
      return memory.as<float>() + (page * shape.layers + layer) * 2 * shape.page_elements() +
             head * shape.head_dim * kPageTokens;
    }
    float* values(std::int64_t layer, std::int64_t page, std::int64_t head) const {
      return keys(layer, page, head) + shape.page_elements();
    }
    const float* rotation(std::int64_t position) const {
      return rotations.data() + position * shape.head_dim;
    }
  };

  explicit Cpu(const CpuOptions& options = {});

  // "cpu (AVX3_DL, 2 threads)"
  std::string description() const;
  // Bytes of all weights packed so far.
  std::int64_t weight_bytes() const { return weight_bytes_; }

  Linear pack(const LinearSpec& spec, const HostLinear& host);
  Depthwise pack(const DepthwiseSpec& spec, const HostDepthwise& host);
  Stem pack(const StemSpec& spec, const HostStem& host);
  Norm pack(const NormSpec& spec, HostNorm host);

  void stem(Context& context, FeatureMap<const std::uint8_t> pixels, const Stem& conv,
            const Depthwise& depthwise, FeatureMap<float> out);
  void depthwise(Context& context, FeatureMap<const float> in, const Depthwise& weights,
                 Activation activation, FeatureMap<float> out);
  void linear(Context& context, View<const float> in, const Linear& weights, Epilogue epilogue,
              View<float> out);
  void conv_ffn(Context& context, FeatureMap<const float> in, const Depthwise& conv,
                const Linear& fc1, const Linear& fc2, FeatureMap<float> out);
  void layer_norm(Context& context, View<const float> in, const Norm& weights, View<float> out);
  void image_attention(Context& context, View<const float> qkv, std::int64_t images,
                       std::int64_t head_dim, View<float> out);
  void squeeze_excite(Context& context, FeatureMap<const float> in, const Linear& reduce,
                      const Linear& expand, FeatureMap<float> out);

  void embed(Context& context, std::span<const std::int32_t> ids, const Linear& table,
             View<float> out);
  void attention_input(Context& context, View<const float> x, const Norm& norm, const Linear& qkv,
                       const AttentionShape& shape, const DecoderBatch& batch, std::int64_t layer,
                       Cache& cache, View<float> query);
  void attention(Context& context, View<const float> query, const AttentionShape& shape,
                 const DecoderBatch& batch, std::int64_t layer, const Cache& cache,
                 View<float> out);
  void swiglu(Context& context, View<const float> x, const Norm& norm, const Linear& gate_up,
              View<float> out);
  void logits(Context& context, View<const float> x, const Norm& norm, const Linear& head,
              View<float> out);

  Cache make_cache(const CacheShape& shape, const AttentionShape& attention) const;
  void copy_page(Context& context, Cache& cache, std::int32_t from, std::int32_t to) const;

 private:
  // Pieces of streaming weights for each thread: one that another program holds up leaves the rest
  // of its work to the others.
  static constexpr std::int64_t kPieces = 8;

  static std::int64_t round_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

  int threads() const { return team_->size(); }

  // Memory of a thread's own, for each.
  template <class T>
  class PerThread {
   public:
    PerThread() = default;
    PerThread(Arena& arena, int threads, std::int64_t count)
        : count_(round_up(count, kLine)), data_(arena.allocate<T>(threads * count_)) {}

    // That of the calling thread.
    template <class U = T>
    U* mine() const {
      return reinterpret_cast<U*>(data_ + ThreadTeam::calling_thread() * count_);
    }

   private:
    static constexpr std::int64_t kLine = 64;  // elements: no two threads write to one line

    std::int64_t count_ = 0;
    T* data_ = nullptr;
  };
  using ProductMemory = PerThread<std::byte>;
  // Where token_rows() puts its rows, and weights on their way to a GEMM.
  struct TokenScratch {
    float* wide = nullptr;
    BFloat16* narrow = nullptr;
    BFloat16* tiled = nullptr;
    std::int16_t* q = nullptr;
    float* q_scales = nullptr;
    PerThread<std::byte> rows{};    // a block of quantised weights in the type that is multiplied
    PerThread<std::byte> panels{};  // a block as the GEMM reads it
    ProductMemory memory{};
  };
  // Input rows of a product, as the kernel wants them that multiplies them.
  struct TokenRows {
    const float* wide = nullptr;       // [rows, stride]
    const BFloat16* narrow = nullptr;  // the same in bf16, if products are in bf16
    const BFloat16* tiled = nullptr;   // the same in the order of gemm/tiles.hpp
    const std::int16_t* q = nullptr;   // the same as integers, for quantised matrix-vectors
    const float* q_scales = nullptr;   // [rows]
    bool in_gemm = false;
    std::int64_t rows = 0;
    std::int64_t stride = 0;
    TokenScratch scratch{};
  };
  struct AttentionInputScratch {
    TokenScratch tokens;
    View<float> products;
  };
  struct SwigluScratch {
    TokenScratch tokens;
    PerThread<float> products;  // of a block of outputs
  };
  struct LinearScratch {
    TokenScratch tokens{};
    PerThread<BFloat16> narrow{};  // a band of positions
    ProductMemory memory{};
  };
  struct ConvFfnScratch {
    PerThread<std::byte> mixed, hidden;
    ProductMemory memory;
  };
  struct ImageAttentionScratch {
    PerThread<std::byte> heads, weights, key_panels, value_panels;
    PerThread<float> scores;
    ProductMemory memory;
  };
  struct AttentionScratch {
    PerThread<const float*> pages;
    PerThread<float> scores;
  };
  struct SqueezeExciteScratch {
    View<float> means, squeezed;
  };

 public:
  // Scratch memory of operations.
  using HostMemory::scratch;
  PerThread<float> scratch(Arena& arena, const StemShape& shape) const;
  LinearScratch scratch(Arena& arena, const LinearShape& shape) const;
  ConvFfnScratch scratch(Arena& arena, const ConvFfnShape& shape) const;
  ImageAttentionScratch scratch(Arena& arena, const ImageAttentionShape& shape) const;
  SqueezeExciteScratch scratch(Arena& arena, const SqueezeExciteShape& shape) const;
  float* scratch(Arena& arena, const EmbedShape& shape) const;
  AttentionInputScratch scratch(Arena& arena, const AttentionInputShape& shape) const;
  AttentionScratch scratch(Arena& arena, const CachedAttentionShape& shape) const;
  SwigluScratch scratch(Arena& arena, const SwigluShape& shape) const;
  TokenScratch scratch(Arena& arena, const LogitsShape& shape) const;

 private:
  // Bytes of a thread's memory for a product of positions.
  std::int64_t product_bytes(std::int64_t rows, const MatrixShape& weights) const {
    return gemm::scratch_bytes(
        {.kernel = kernel_of(weights), .rows = rows, .outputs = weights.out, .depth = weights.in});
  }
  // For products of which `outputs` are divided into blocks.
  TokenScratch token_scratch(Arena& arena, std::int64_t rows, const MatrixShape& weights,
                             std::int64_t outputs) const;

  static std::int64_t stride_of(const MatrixShape& tokens) {
    return tokens.format.is_quantised() ? tokens.format.padded(tokens.in)
                                        : round_up(tokens.in, simd::kRowPadding);
  }
  gemm::Kernel kernel_of(const MatrixShape& weights) const {
    return weights.format == WeightFormat::kF32 ? gemm::Kernel::kFloat : bf16_kernel_;
  }
  bool multiplies_bf16(const MatrixShape& weights) const {
    return kernel_of(weights) != gemm::Kernel::kFloat;
  }
  std::int64_t multiplied_bytes(const MatrixShape& weights) const {
    return gemm::element_bytes(kernel_of(weights));
  }
  // Whether the rows of tokens are stored as the GEMM reads them. Both halves of gate and up begin
  // with a panel then.
  bool stored_packed(const MatrixShape& weights) const {
    return kernel_of(weights) == gemm::Kernel::kTiles && weights.format == WeightFormat::kBF16 &&
           weights.out % (2 * gemm::kPanel) == 0;
  }
  // Whether a GEMM multiplies tokens; if not, the weights stream past a few inputs at a time. Not
  // the number of rows decides, so that a row's bits do not depend on it. Tiles are as fast as the
  // memory even for one row.
  bool in_gemm(const MatrixShape& weights, bool is_prefill) const {
    return is_prefill || stored_packed(weights);
  }
  // What multiplies in the attention of images.
  gemm::Kernel attention_kernel() const {
    return formats_.format == WeightFormat::kF32 ? gemm::Kernel::kFloat : bf16_kernel_;
  }
  // Rows of a band of `linear` over positions, and image rows of one of conv_ffn.
  std::int64_t position_band(std::int64_t rows) const {
    constexpr std::int64_t kBand = 256;
    return std::clamp(round_up((rows + threads() - 1) / threads(), 16), std::int64_t{1}, kBand);
  }
  std::int64_t ffn_band(std::int64_t images, std::int64_t height) const {
    constexpr std::int64_t kBandRows = 8;
    return std::min({kBandRows, (images * height + threads() - 1) / threads(), height});
  }
  // Outputs of a block of for_weight_blocks().
  std::int64_t weight_block(const MatrixShape& weights, bool is_prefill, std::int64_t count) const;

  // Calls work(r) for the rows of a pass, which are few unless it is a prefill's.
  template <class Work>
  void for_rows(std::int64_t rows, bool is_prefill, const Work& work) const {
    const auto some = [&](std::int64_t first, std::int64_t count) {
      for (std::int64_t r = first; r < first + count; ++r) work(r);
    };
    is_prefill ? team_->for_blocks(rows, some) : some(0, rows);
  }

  void pack_rows(const HostLinear& host, Linear& linear) const;
  void pack_panels(const HostLinear& host, Linear& linear) const;
  void pack_quantised(const HostLinear& host, Linear& linear) const;
  // On the calling thread: out = in W^T + b (+ out) for a matrix that positions are multiplied by.
  // `In` is the type that it is multiplied in.
  template <class In, class Out>
  void multiply_positions(View<const In> in, const Linear& weights, bool accumulate, View<Out> out,
                          const ProductMemory& memory);
  // conv_ffn, with the layers between its products in the type T, which they multiply.
  template <class T>
  void conv_ffn_in(const ConvFfnScratch& scratch, FeatureMap<const float> in, const Depthwise& conv,
                   const Linear& fc1, const Linear& fc2, FeatureMap<float> out);
  template <class T>
  void image_attention_in(const ImageAttentionScratch& scratch, View<const float> qkv,
                          std::int64_t images, std::int64_t head_dim, View<float> out);
  // On the calling thread: out [rows, count] = in W^T + b (+ out) for weight rows
  // [first, first + count).
  void multiply_rows(const TokenRows& in, const Linear& weights, std::int64_t first,
                     std::int64_t count, bool accumulate, View<float> out) const;
  void pack_block(const Linear& weights, std::int64_t first, std::int64_t count,
                  const TokenScratch& scratch, gemm::Product& product) const;
  void stream_rows(const TokenRows& in, const Linear& weights, std::int64_t first,
                   std::int64_t count, bool accumulate, View<float> out) const;
  // out = in W^T + b (+ out) for a matrix of rows: decode and prefill.
  void token_linear(const TokenRows& in, const Linear& weights, bool is_prefill, bool accumulate,
                    View<float> out);
  // Calls work(first, count) for blocks of the outputs [0, count) of about one cache's size.
  template <class Work>
  void for_weight_blocks(const Linear& weights, bool is_prefill, std::int64_t count,
                         const Work& work);

  // Copies of x (perhaps after an RMS norm), padded to the weights' stride.
  TokenRows token_rows(View<const float> x, const Norm* norm, const Linear& weights,
                       bool is_prefill, const TokenScratch& scratch) const;

  FormatChoice formats_;
  gemm::Kernel bf16_kernel_;
  std::unique_ptr<ThreadTeam> team_;
  std::int64_t weight_bytes_ = 0;
};

static_assert(EngineBackend<Cpu>);

}  // namespace fvlm
