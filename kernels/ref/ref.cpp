// See ref.hpp: the definitions, in the order of ops/backend.hpp.
#include "kernels/ref/ref.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

namespace fvlm {
namespace {

float gelu(float x) {
  return static_cast<float>(0.5 * x * (1.0 + std::erf(x / std::numbers::sqrt2)));
}

double dot(std::span<const float> a, std::span<const float> b) {
  return std::inner_product(
      a.begin(), a.end(), b.begin(), 0.0, [](double x, double y) { return x + y; },
      [](float x, float y) { return double{x} * double{y}; });
}

std::span<const float> as_span(View<const float> view, std::int64_t row) {
  return {view.row(row), static_cast<std::size_t>(view.cols)};
}

// weights[i] = exp(scores[i] - max) / sum of these.
void softmax(std::span<double> scores) {
  const double largest = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (double& s : scores) sum += s = std::exp(s - largest);
  for (double& s : scores) s /= sum;
}

void rms_norm(View<const float> in, const Ref::Norm& norm, View<float> out) {
  for (std::int64_t r = 0; r < in.rows; ++r) {
    const auto x = as_span(in, r);
    const double scale = 1.0 / std::sqrt(dot(x, x) / static_cast<double>(x.size()) + norm.eps);
    for (std::size_t c = 0; c < x.size(); ++c) {
      out.row(r)[c] = static_cast<float>(x[c] * scale * norm.host.weight[c]);
    }
  }
}

void rotate(float* head, std::int64_t head_dim, std::int64_t position, double theta) {
  const std::int64_t half = head_dim / 2;
  for (std::int64_t i = 0; i < half; ++i) {
    const double angle = static_cast<double>(position) *
                         std::pow(theta, -static_cast<double>(i) / static_cast<double>(half));
    const double c = std::cos(angle);
    const double s = std::sin(angle);
    const double x1 = head[i];
    const double x2 = head[i + half];
    head[i] = static_cast<float>(x1 * c - x2 * s);
    head[i + half] = static_cast<float>(x2 * c + x1 * s);
  }
}

template <class T>
void round_to(std::span<float> values) {
  for (float& v : values) v = static_cast<float>(T(v));
}

}  // namespace

Ref::Linear Ref::pack(const LinearSpec& spec, const HostLinear& host) {
  const WeightFormat format = formats_.of(spec);
  const auto in = static_cast<std::size_t>(host.in);
  Linear linear{{host.out, host.in, spec.rows, format},
                std::vector<float>(static_cast<std::size_t>(host.out) * in),
                host.bias};
  for (std::int64_t r = 0; r < host.out; ++r) {
    const auto row = std::span(linear.weight).subspan(static_cast<std::size_t>(r) * in, in);
    if (format.is_quantised()) {
      std::vector<std::byte> words(static_cast<std::size_t>(format.row_bytes(host.in)));
      std::vector<BFloat16> scales(static_cast<std::size_t>(format.scales(host.in)));
      host.quantised_row(r, format, words.data(), scales.data(), row);
      dequantise_row(words.data(), std::as_bytes(std::span(scales)).data(), format, row);
    } else {
      host.row(r, row);
      switch (format.type) {
        case WeightFormat::Type::kBF16:
          round_to<BFloat16>(row);
          break;
        case WeightFormat::Type::kF16:
          round_to<Float16>(row);
          break;
        case WeightFormat::Type::kF32:
        case WeightFormat::Type::kInt8:
        case WeightFormat::Type::kInt4:
          break;
      }
    }
  }
  weight_bytes_ += static_cast<std::int64_t>(linear.weight.size() * sizeof(float));
  return linear;
}

Ref::Depthwise Ref::pack(const DepthwiseSpec& spec, HostDepthwise host) const {
  return {spec, std::move(host)};
}

Ref::Stem Ref::pack(const StemSpec&, HostStem host) const {
  return host;
}

Ref::Norm Ref::pack(const NormSpec& spec, HostNorm host) const {
  return {static_cast<float>(spec.eps), std::move(host)};
}

FeatureMap<float> Ref::scratch(Arena& arena, const StemShape& shape) {
  return arena.feature_map<float>(shape.images, shape.height / 2, shape.width / 2, shape.channels);
}

void Ref::stem(Context& context, FeatureMap<const std::uint8_t> pixels, const Stem& conv,
               const Depthwise& depthwise, FeatureMap<float> out) const {
  const std::int64_t channels = std::ssize(conv.bias);
  const Arena::Scope scope(context.arena());
  const FeatureMap<float> half =
      scratch(context.arena(), StemShape{pixels.batch, pixels.height, pixels.width, channels});
  for (std::int64_t b = 0; b < half.batch; ++b) {
    for (std::int64_t y = 0; y < half.height; ++y) {
      for (std::int64_t x = 0; x < half.width; ++x) {
        for (std::int64_t c = 0; c < channels; ++c) {
          double sum = conv.bias[static_cast<std::size_t>(c)];
          for (std::int64_t tap = 0; tap < 9; ++tap) {
            const std::int64_t py = 2 * y + tap / 3 - 1;
            const std::int64_t px = 2 * x + tap % 3 - 1;
            if (py < 0 || py >= pixels.height || px < 0 || px >= pixels.width) continue;
            for (std::int64_t rgb = 0; rgb < 3; ++rgb) {
              sum += double{conv.weight[static_cast<std::size_t>((tap * 3 + rgb) * channels + c)]} *
                     pixels.row(b, py)[px * 3 + rgb];
            }
          }
          half.row(b, y)[x * channels + c] = gelu(static_cast<float>(sum));
        }
      }
    }
  }
  this->depthwise(context, half, depthwise, Activation::kGelu, out);
}

void Ref::depthwise(Context&, FeatureMap<const float> in, const Depthwise& weights,
                    Activation activation, FeatureMap<float> out) const {
  const auto& [spec, host] = weights;
  for (std::int64_t b = 0; b < out.batch; ++b) {
    for (std::int64_t y = 0; y < out.height; ++y) {
      for (std::int64_t x = 0; x < out.width; ++x) {
        for (std::int64_t c = 0; c < out.channels; ++c) {
          double sum = host.bias[static_cast<std::size_t>(c)];
          for (std::int64_t tap = 0; tap < spec.kernel * spec.kernel; ++tap) {
            const std::int64_t iy = y * spec.stride + tap / spec.kernel - spec.kernel / 2;
            const std::int64_t ix = x * spec.stride + tap % spec.kernel - spec.kernel / 2;
            if (iy < 0 || iy >= in.height || ix < 0 || ix >= in.width) continue;
            sum += double{host.weight[static_cast<std::size_t>(tap * out.channels + c)]} *
                   in.row(b, iy)[ix * in.channels + c / spec.multiplier];
          }
          const auto value = static_cast<float>(sum);
          out.row(b, y)[x * out.channels + c] =
              activation == Activation::kGelu ? gelu(value) : value;
        }
      }
    }
  }
}

void Ref::linear(Context&, View<const float> in, const Linear& weights, Epilogue epilogue,
                 View<float> out) const {
  const auto width = static_cast<std::size_t>(weights.shape.in);
  for (std::int64_t r = 0; r < in.rows; ++r) {
    for (std::int64_t c = 0; c < weights.shape.out; ++c) {
      const auto column = static_cast<std::size_t>(c);
      const auto row = std::span(weights.weight).subspan(column * width, width);
      auto value = static_cast<float>(dot(as_span(in, r), row) +
                                      (weights.bias.empty() ? 0.0F : weights.bias[column]));
      if (epilogue.activation == Activation::kGelu) value = gelu(value);
      out.row(r)[c] = value + (epilogue.accumulate ? out.row(r)[c] : 0.0F);
    }
  }
}

Ref::ConvFfnScratch Ref::scratch(Arena& arena, const ConvFfnShape& shape) {
  return {arena.feature_map<float>(shape.images, shape.height, shape.width, shape.channels()),
          arena.matrix<float>(shape.positions(), shape.fc1.out)};
}

void Ref::conv_ffn(Context& context, FeatureMap<const float> in, const Depthwise& conv,
                   const Linear& fc1, const Linear& fc2, FeatureMap<float> out) const {
  const Arena::Scope scope(context.arena());
  const auto [mixed, hidden] =
      scratch(context.arena(), ConvFfnShape{in.batch, in.height, in.width, fc1.shape, fc2.shape});
  depthwise(context, in, conv, Activation::kNone, mixed);
  linear(context, mixed.matrix(), fc1, {.activation = Activation::kGelu}, hidden);
  std::copy_n(in.data, in.elements(), out.data);
  linear(context, hidden, fc2, {.accumulate = true}, out.matrix());
}

void Ref::layer_norm(Context&, View<const float> in, const Norm& norm, View<float> out) const {
  for (std::int64_t r = 0; r < in.rows; ++r) {
    const auto x = as_span(in, r);
    const auto n = static_cast<double>(x.size());
    const double mean = std::accumulate(x.begin(), x.end(), 0.0) / n;
    double variance = 0;
    for (const float v : x) variance += (v - mean) * (v - mean) / n;
    const double scale = 1.0 / std::sqrt(variance + norm.eps);
    for (std::size_t c = 0; c < x.size(); ++c) {
      out.row(r)[c] =
          static_cast<float>((x[c] - mean) * scale * norm.host.weight[c] + norm.host.bias[c]);
    }
  }
}

std::span<double> Ref::scratch(Arena& arena, const ImageAttentionShape& shape) {
  return {arena.allocate<double>(shape.tokens), static_cast<std::size_t>(shape.tokens)};
}

void Ref::image_attention(Context& context, View<const float> qkv, std::int64_t images,
                          std::int64_t head_dim, View<float> out) const {
  const std::int64_t tokens = qkv.rows / images;
  const auto dim = static_cast<std::size_t>(head_dim);
  const Arena::Scope scope(context.arena());
  const std::span<double> scores =
      scratch(context.arena(), ImageAttentionShape{images, tokens, out.cols / head_dim, head_dim});
  for (std::int64_t r = 0; r < qkv.rows; ++r) {
    const std::int64_t first = r / tokens * tokens;  // row of the image's first token
    for (std::int64_t h = 0; h < out.cols; h += head_dim) {
      const auto head = [&](std::int64_t row, std::int64_t which) {
        return std::span<const float>(qkv.row(row) + which * out.cols + h, dim);
      };
      for (std::int64_t t = 0; t < tokens; ++t) {
        scores[static_cast<std::size_t>(t)] =
            dot(head(r, 0), head(first + t, 1)) / std::sqrt(static_cast<double>(head_dim));
      }
      softmax(scores);
      for (std::size_t d = 0; d < dim; ++d) {
        double sum = 0;
        for (std::int64_t t = 0; t < tokens; ++t) {
          sum += scores[static_cast<std::size_t>(t)] * head(first + t, 2)[d];
        }
        out.row(r)[h + static_cast<std::int64_t>(d)] = static_cast<float>(sum);
      }
    }
  }
}

Ref::SqueezeExciteScratch Ref::scratch(Arena& arena, const SqueezeExciteShape& shape) {
  return {arena.matrix<float>(1, shape.reduce.in), arena.matrix<float>(1, shape.reduce.out),
          arena.matrix<float>(1, shape.expand.out)};
}

void Ref::squeeze_excite(Context& context, FeatureMap<const float> in, const Linear& reduce,
                         const Linear& expand, FeatureMap<float> out) const {
  const Arena::Scope scope(context.arena());
  const auto [mean, squeezed, gate] =
      scratch(context.arena(), SqueezeExciteShape{in.batch, reduce.shape, expand.shape});
  for (std::int64_t b = 0; b < in.batch; ++b) {
    const auto x = in.matrix().slice_rows(b * in.positions(), in.positions());
    const auto y = out.matrix().slice_rows(b * in.positions(), in.positions());
    for (std::int64_t c = 0; c < in.channels; ++c) {
      double sum = 0;
      for (std::int64_t r = 0; r < x.rows; ++r) sum += x.row(r)[c];
      mean.data[c] = static_cast<float>(sum / static_cast<double>(x.rows));
    }
    linear(context, mean, reduce, {}, squeezed);
    std::for_each_n(squeezed.data, squeezed.cols, [](float& v) { v = std::max(v, 0.0F); });
    linear(context, squeezed, expand, {}, gate);
    for (std::int64_t r = 0; r < x.rows; ++r) {
      for (std::int64_t c = 0; c < in.channels; ++c) {
        const double sigmoid = 1.0 / (1.0 + std::exp(-double{gate.data[c]}));
        y.row(r)[c] = gelu(static_cast<float>(x.row(r)[c] * sigmoid));
      }
    }
  }
}

void Ref::embed(Context&, std::span<const std::int32_t> ids, const Linear& table,
                View<float> out) const {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    std::copy_n(table.weight.data() + ids[i] * table.shape.in, table.shape.in,
                out.row(static_cast<std::int64_t>(i)));
  }
}

Ref::ProductScratch Ref::scratch(Arena& arena, const AttentionInputShape& shape) {
  return {arena.matrix<float>(shape.rows, shape.qkv.in),
          arena.matrix<float>(shape.rows, shape.qkv.out)};
}

void Ref::attention_input(Context& context, View<const float> x, const Norm& norm,
                          const Linear& qkv, const AttentionShape& shape, const DecoderBatch& batch,
                          std::int64_t layer, Cache& cache, View<float> query) const {
  const Arena::Scope scope(context.arena());
  const auto [normed, all] = scratch(context.arena(), AttentionInputShape{x.rows, qkv.shape});
  rms_norm(x, norm, normed);
  linear(context, normed, qkv, {}, all);
  const std::int64_t dim = shape.head_dim;
  for (const Segment& segment : batch.segments) {
    for (std::int64_t i = 0; i < segment.rows; ++i) {
      float* row = all.row(segment.first_row + i);
      const std::int64_t position = segment.position + i;
      for (std::int64_t h = 0; h < shape.heads + shape.kv_heads; ++h) {
        rotate(row + h * dim, dim, position, shape.rope_theta);
      }
      std::copy_n(row, query.cols, query.row(segment.first_row + i));
      const std::int32_t page = segment.pages[static_cast<std::size_t>(position / kPageTokens)];
      for (std::int64_t h = 0; h < shape.kv_heads; ++h) {
        const std::size_t at = cache.at(layer, page, h, position % kPageTokens);
        std::copy_n(row + (shape.heads + h) * dim, dim, cache.keys.data() + at);
        std::copy_n(row + (shape.heads + shape.kv_heads + h) * dim, dim, cache.values.data() + at);
      }
    }
  }
}

std::span<double> Ref::scratch(Arena& arena, const CachedAttentionShape& shape) {
  return {arena.allocate<double>(shape.tokens), static_cast<std::size_t>(shape.tokens)};
}

void Ref::attention(Context& context, View<const float> query, const AttentionShape& shape,
                    const DecoderBatch& batch, std::int64_t layer, const Cache& cache,
                    View<float> out) const {
  const auto dim = static_cast<std::size_t>(shape.head_dim);
  const Arena::Scope scope(context.arena());
  const std::span<double> all =
      scratch(context.arena(), CachedAttentionShape{shape, cache.shape.tokens()});
  for (const Segment& segment : batch.segments) {
    for (std::int64_t i = 0; i < segment.rows; ++i) {
      const std::int64_t row = segment.first_row + i;
      const auto scores = all.first(static_cast<std::size_t>(segment.position + i + 1));
      for (std::int64_t h = 0; h < shape.heads; ++h) {
        const std::int64_t kv_head = h / (shape.heads / shape.kv_heads);
        const auto at = [&](std::size_t t) {
          return cache.at(layer, segment.pages[t / kPageTokens], kv_head,
                          static_cast<std::int64_t>(t % kPageTokens));
        };
        const std::span<const float> q(query.row(row) + h * shape.head_dim, dim);
        for (std::size_t t = 0; t < scores.size(); ++t) {
          scores[t] = dot(q, std::span(cache.keys).subspan(at(t), dim)) /
                      std::sqrt(static_cast<double>(dim));
        }
        softmax(scores);
        for (std::size_t d = 0; d < dim; ++d) {
          double sum = 0;
          for (std::size_t t = 0; t < scores.size(); ++t)
            sum += scores[t] * cache.values[at(t) + d];
          out.row(row)[h * shape.head_dim + static_cast<std::int64_t>(d)] = static_cast<float>(sum);
        }
      }
    }
  }
}

Ref::ProductScratch Ref::scratch(Arena& arena, const SwigluShape& shape) {
  return {arena.matrix<float>(shape.rows, shape.gate_up.in),
          arena.matrix<float>(shape.rows, shape.gate_up.out)};
}

void Ref::swiglu(Context& context, View<const float> x, const Norm& norm, const Linear& gate_up,
                 View<float> out) const {
  const Arena::Scope scope(context.arena());
  const auto [normed, both] = scratch(context.arena(), SwigluShape{x.rows, gate_up.shape});
  rms_norm(x, norm, normed);
  linear(context, normed, gate_up, {}, both);
  for (std::int64_t r = 0; r < x.rows; ++r) {
    for (std::int64_t c = 0; c < out.cols; ++c) {
      const double gate = both.row(r)[c];
      out.row(r)[c] =
          static_cast<float>(gate / (1.0 + std::exp(-gate)) * both.row(r)[out.cols + c]);
    }
  }
}

View<float> Ref::scratch(Arena& arena, const LogitsShape& shape) {
  return arena.matrix<float>(shape.rows, shape.head.in);
}

void Ref::logits(Context& context, View<const float> x, const Norm& norm, const Linear& head,
                 View<float> out) const {
  const Arena::Scope scope(context.arena());
  const View<float> normed = scratch(context.arena(), LogitsShape{x.rows, head.shape});
  rms_norm(x, norm, normed);
  linear(context, normed, head, {}, out);
}

Ref::Cache Ref::make_cache(const CacheShape& shape, const AttentionShape&) const {
  const auto half = static_cast<std::size_t>(shape.elements() / 2);
  return {shape, std::vector<float>(half), std::vector<float>(half)};
}

void Ref::copy_page(Context&, Cache& cache, std::int32_t from, std::int32_t to) const {
  for (std::int64_t layer = 0; layer < cache.shape.layers; ++layer) {
    const auto source = static_cast<std::ptrdiff_t>(cache.at(layer, from, 0, 0));
    const auto target = static_cast<std::ptrdiff_t>(cache.at(layer, to, 0, 0));
    for (auto* half : {&cache.keys, &cache.values}) {
      std::copy_n(half->begin() + source, cache.shape.page_elements(), half->begin() + target);
    }
  }
}

}  // namespace fvlm
