// The Cpu backend: oneDNN for matrix products, our own vector kernels (simd.hpp) for the rest,
// OpenMP for threads. Activations are float32; matrices are float32, bfloat16 or quantised.
//
// Two layouts of a matrix, by what it is used for:
//   positions  packed for oneDNN. In bf16 on a processor that multiplies bf16 itself; else float32,
//              which such processors multiply several times faster than they can emulate bf16.
//   tokens     rows, padded with zeros, in the chosen format: read once per decode step by our
//              matrix-vector kernel. For the many rows of a prefill, oneDNN multiplies blocks of
//              rows, on the way made bf16 where that is native, else float32.
#pragma once

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
#include "kernels/cpu/matmul.hpp"
#include "kernels/cpu/simd.hpp"

namespace fvlm {

struct CpuOptions {
  FormatChoice formats{};
  int threads = 1;
  // Multiply in bf16 where the format is not f32. Absent: if the processor does so itself.
  std::optional<bool> bf16_products{};
};

class Cpu : public HostMemory {
 public:
  using Element = float;
  static constexpr std::int64_t kExactRows = 16;
  static constexpr std::size_t kScratchBudget = std::size_t{32} << 20;

  struct Linear {
    MatrixShape shape;
    std::int64_t stride = 0;  // elements of a padded row
    Buffer weight{};          // rows; empty if the matrix is packed for oneDNN
    PackedMatrix packed{};
    Buffer scales{};          // of a quantised matrix
    std::vector<float> bias;  // [out], or empty

    simd::QuantisedRows quantised() const {
      return {shape.format, weight.as<std::int16_t>(), scales.as<BFloat16>()};
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
    Buffer rotations;  // [positions, head_dim]: a position's cosines, then its sines

    float* keys(std::int64_t layer, std::int64_t page, std::int64_t head) const {
      return memory.as<float>() + (page * shape.layers + layer) * 2 * shape.page_elements() +
             head * shape.head_dim * kPageTokens;
    }
    float* values(std::int64_t layer, std::int64_t page, std::int64_t head) const {
      return keys(layer, page, head) + shape.page_elements();
    }
    const float* rotation(std::int64_t position) const {
      return rotations.as<float>() + position * shape.head_dim;
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
  // Scratch memory that grows to the largest size asked for.
  class Workspace {
   public:
    template <class T>
    T* get(std::int64_t count) {
      const auto bytes = static_cast<std::size_t>(count) * sizeof(T);
      if (buffer_.bytes() < bytes) buffer_ = Buffer(bytes);
      return buffer_.as<T>();
    }

   private:
    Buffer buffer_;
  };
  // Inputs up to which a matrix of rows is multiplied by our own kernel, which reads it once for
  // every simd::kMaxInputs of them; above, oneDNN's blocking wins.
  static constexpr std::int64_t kMatVecRows = kExactRows;

  struct ThreadWorkspace {
    Workspace mixed, narrow, hidden, weights, result, scores, pages;
  };
  // Input rows of a product, as the matrix-vector kernels and as oneDNN want them.
  struct TokenRows {
    const float* wide = nullptr;       // [rows, stride]
    const BFloat16* narrow = nullptr;  // the same in bf16, if products are in bf16
    const std::int16_t* q = nullptr;   // the same as integers, for quantised matrix-vectors
    const float* q_scales = nullptr;   // [rows]
    std::int64_t rows = 0;
    std::int64_t stride = 0;
  };
  // Some rows of a matrix: [first, first + count), and as many from `second` on if that is not 0.
  struct WeightRows {
    std::int64_t first = 0;
    std::int64_t count = 0;
    std::int64_t second = 0;
  };

  static std::int64_t round_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

  ThreadWorkspace& workspace();
  bool multiplies_bf16(const Linear& weights) const {
    return bf16_products_ && weights.shape.format != WeightFormat::kF32;
  }
  // Whether rows are stored in the type that they are multiplied in.
  bool multiplied_in_place(const Linear& weights) const {
    return weights.shape.format ==
           (multiplies_bf16(weights) ? WeightFormat::kBF16 : WeightFormat::kF32);
  }

  Buffer converted_rows(const HostLinear& host, WeightFormat format, std::int64_t stride) const;
  void pack_quantised(const HostLinear& host, Linear& linear) const;
  template <class T>
  static void unpack_rows(const Linear& weights, std::int64_t first, std::int64_t count, T* to);
  // On the calling thread: out = in W^T + b (+ out) for a packed matrix. `In` is the type that the
  // matrix is multiplied in.
  template <class In, class Out>
  void multiply_packed(View<const In> in, const Linear& weights, bool accumulate, View<Out> out);
  // conv_ffn, with the layers between its products in the type T, which they multiply.
  template <class T>
  void conv_ffn_in(FeatureMap<const float> in, const Depthwise& conv, const Linear& fc1,
                   const Linear& fc2, FeatureMap<float> out);
  template <class T>
  void image_attention_in(View<const float> qkv, std::int64_t images, std::int64_t head_dim,
                          View<float> out);
  // On the calling thread: the products of all inputs with some rows, out [rows, count or 2 count].
  void multiply_rows(const TokenRows& in, const Linear& weights, const WeightRows& some,
                     bool accumulate, View<float> out);
  // out = in W^T + b (+ out) for a matrix of rows: decode and prefill.
  void token_linear(const TokenRows& in, const Linear& weights, bool accumulate, View<float> out);
  // Calls work(first, count) for blocks of the outputs [0, count) of about one cache's size.
  template <class Work>
  void for_weight_blocks(const Linear& weights, std::int64_t count, const Work& work);

  // Copies of x (perhaps after an RMS norm), padded to the weights' stride.
  TokenRows token_rows(View<const float> x, const Norm* norm, const Linear& weights);

  FormatChoice formats_;
  bool bf16_products_;
  int threads_;
  std::int64_t weight_bytes_ = 0;
  std::unique_ptr<MatMulCache> matmuls_ = std::make_unique<MatMulCache>();
  std::vector<ThreadWorkspace> workspaces_;
  Workspace token_rows_;
  Workspace narrow_rows_;
  Workspace integer_rows_;
  Workspace integer_scales_;
  Workspace products_;
};

static_assert(EngineBackend<Cpu>);

}  // namespace fvlm
