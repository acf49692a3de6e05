// Shapes: of attention and its cache, and of the operations that may need scratch memory: what that
// memory is computed from (ReportsScratch in backend.hpp).
#pragma once

#include <cstddef>
#include <cstdint>

#include "fvlm/ops/batch.hpp"
#include "fvlm/ops/spec.hpp"
#include "fvlm/ops/weight_format.hpp"

namespace fvlm {

// Rotary position encoding: the halves (x1, x2) of a head become (x1 c - x2 s, x2 c + x1 s) with
// the angle position * theta^(-i / (head_dim / 2)).
struct AttentionShape {
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  double rope_theta = 1e6;
};

// The size of a KV cache.
struct CacheShape {
  std::int64_t layers = 0;
  std::int64_t pages = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;

  // Elements of the keys (or of the values) of one page in one layer.
  std::int64_t page_elements() const { return kv_heads * head_dim * kPageTokens; }
  // Elements of the whole cache, keys and values.
  std::int64_t elements() const { return 2 * layers * pages * page_elements(); }
  // Tokens of the longest sequence that it can hold.
  std::int64_t tokens() const { return pages * kPageTokens; }
};

// A matrix [out, in] as a backend keeps it.
struct MatrixShape {
  std::int64_t out = 0;
  std::int64_t in = 0;
  Rows rows = Rows::kPositions;
  WeightFormat format = WeightFormat::kF32;

  bool operator==(const MatrixShape&) const = default;
};

// What bounds the passes that several requests share. More images in a pass fill the device better,
// up to a point, but take more memory, and decode steps wait longer for the prefill behind them.
struct PassBudget {
  std::int64_t images = 1;        // of an encoder pass, at most: a power of two
  std::size_t encoder_bytes = 0;  // of scratch memory, for an encoder pass of more than one
  double prefill_flops = 1e300;   // of a prefill pass over the prompts of more than one
  std::int64_t draft_rows = 64;   // of a decode pass, up to which draft tokens may fill it
};

// Operations -------------------------------------------------------------------------------------

struct UploadShape {
  std::int64_t images = 0;
  std::int64_t side = 0;
};
struct StemShape {
  std::int64_t images = 0;
  std::int64_t height = 0;  // of the pixels
  std::int64_t width = 0;
  std::int64_t channels = 0;  // of the result
};
struct LinearShape {
  std::int64_t rows = 0;
  MatrixShape weights{};
};
struct ConvFfnShape {
  std::int64_t images = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
  MatrixShape fc1{};
  MatrixShape fc2{};

  std::int64_t positions() const { return images * height * width; }
  std::int64_t channels() const { return fc1.in; }
};
struct ImageAttentionShape {
  std::int64_t images = 0;
  std::int64_t tokens = 0;  // of an image
  std::int64_t heads = 0;
  std::int64_t head_dim = 0;
};
struct SqueezeExciteShape {
  std::int64_t images = 0;
  MatrixShape reduce{};
  MatrixShape expand{};
};
struct EmbedShape {
  std::int64_t ids = 0;
  MatrixShape table{};
};
struct AttentionInputShape {
  std::int64_t rows = 0;
  MatrixShape qkv{};
};
struct CachedAttentionShape {
  AttentionShape attention{};
  std::int64_t tokens = 0;  // the most that a row attends to
};
struct SwigluShape {
  std::int64_t rows = 0;
  MatrixShape gate_up{};
};
struct LogitsShape {
  std::int64_t rows = 0;
  MatrixShape head{};
};
struct SampleShape {
  std::int64_t rows = 0;
  std::int64_t vocabulary = 0;
};

}  // namespace fvlm
