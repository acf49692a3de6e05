// The model's own list of parameters (visit) decides what is written; the loader's fold() makes it.
#include "runtime/convert/convert.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "fvlm/image.hpp"
#include "fvlm/models/fastvlm.hpp"
#include "kernels/plan/plan.hpp"
#include "kernels/support/make_error.hpp"
#include "kernels/support/thread_team.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/checkpoint/safetensors_writer.hpp"
#include "runtime/checkpoint/weights.hpp"
#include "runtime/config/config_file.hpp"
#include "runtime/engine/prompt.hpp"
#include "runtime/engine/trace_run.hpp"
#include "runtime/support/new_files.hpp"

namespace fvlm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEncoder = "model.vision_tower.";
constexpr const char* kWeightsFile = "model.safetensors";
// What a tokenizer may consist of.
constexpr const char* kCopiedFiles[] = {
    "tokenizer.json",          "vocab.json",           "merges.txt", "added_tokens.json",
    "special_tokens_map.json", "tokenizer_config.json"};

WeightFormat format_of(const std::string& path, const ConvertOptions& options) {
  if (!path.starts_with(kEncoder)) return options.format;
  const bool quantised = options.format.is_quantised();
  return options.vision_format.value_or(quantised ? WeightFormat::kBF16 : options.format);
}

DType dtype_of(const WeightFormat& format) {
  switch (format.type) {
    case WeightFormat::Type::kF32:
      return DType::kF32;
    case WeightFormat::Type::kF16:
      return DType::kF16;
    case WeightFormat::Type::kBF16:
      return DType::kBF16;
    case WeightFormat::Type::kInt8:
    case WeightFormat::Type::kInt4:
      break;
  }
  return DType::kI8;  // whatever the width of the integers in it
}

// What the new file will hold.
class Headers : public Visitor<Headers> {
 public:
  explicit Headers(const ConvertOptions& options) : options_(options) {}

  void leaf(const std::string& path, const Linear<Plan>& parameter) {
    const WeightFormat format = format_of(path, options_);
    LinearSpec spec = folded(parameter.spec);
    if (format.is_quantised()) {
      for (LinearSpec::Part& part : spec.parts) part.quantised = format;
    }
    for (const StoredTensor& t : stored_tensors(path, spec)) {
      if (t.quantised) metadata[kQuantisedKey + t.name] = quantised_text(format);
      const bool is_bias = t.role == Role::kBias;
      const DType type = t.role == Role::kScales ? DType::kBF16 : dtype_of(format);
      tensors.push_back({t.name, is_bias ? DType::kF32 : type, t.shape});
    }
  }
  template <class P>
  void leaf(const std::string& path, const P& parameter) {
    for (const StoredTensor& t : stored_tensors(path, folded(parameter.spec))) {
      tensors.push_back({t.name, DType::kF32, t.shape});
    }
  }

  std::vector<TensorHeader> tensors;
  std::map<std::string, std::string> metadata;

 private:
  const ConvertOptions& options_;
};

// Converts floats to the bytes of a type.
class Encoder {
 public:
  // Throws Error naming `what` if a value becomes infinite that is not.
  std::span<const std::byte> encode(std::span<const float> values, DType type,
                                    const std::string& what) {
    if (type == DType::kF32) return std::as_bytes(values);
    halves_.resize(values.size());
    std::atomic<bool> overflow = false;
    const bool half = type == DType::kF16;
    ThreadTeam::all().for_blocks(std::ssize(values), [&](std::int64_t first, std::int64_t count) {
      for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(first + count);
           ++i) {
        const float value = values[i];
        halves_[i] = half ? Float16(value).bits : BFloat16(value).bits;
        if (half && std::isfinite(value) && !std::isfinite(static_cast<float>(Float16(value)))) {
          overflow = true;
        }
      }
    });
    if (overflow) {
      throw make_error("{}: a value beyond 65504, the largest of F16; choose bf16 or f32", what);
    }
    return std::as_bytes(std::span(halves_));
  }

 private:
  std::vector<std::uint16_t> halves_;
};

class FoldedWriter : public Visitor<FoldedWriter> {
 public:
  FoldedWriter(const Checkpoint& checkpoint, SafetensorsWriter& writer,
               const ConvertOptions& options)
      : checkpoint_(checkpoint), writer_(writer), options_(options) {
    FastVlm<Plan> model(checkpoint.config());
    StoredBytes stored(checkpoint);
    model.visit(stored);
    total_ = stored.bytes;
  }

  template <class P>
  void leaf(const std::string& path, const P& parameter) {
    const auto spec = checkpoint_.as_stored(path, parameter.spec);
    const auto stored = stored_tensors(path, spec);
    for (const StoredTensor& t : stored) {
      const TensorView& tensor = checkpoint_.require(t);
      checkpoint_.check_sum(tensor);
      if (const std::int64_t bad = count_non_finite(tensor); bad > 0 && options_.on_warning) {
        options_.on_warning(fmt::format("{}: tensor \"{}\": {} values are infinite or not a number",
                                        tensor.file, tensor.name, bad));
      }
    }
    write(path, spec, fold(checkpoint_, path, spec));
    for (const StoredTensor& t : stored) {
      const TensorView& tensor = checkpoint_.require(t);
      done_ += static_cast<std::int64_t>(tensor.data.size());
      checkpoint_.release(tensor);
    }
    if (options_.on_progress) {
      options_.on_progress(static_cast<double>(done_) / static_cast<double>(total_));
    }
  }

 private:
  // In the order of stored_tensors: each part's rows, their scales, its biases.
  void write(const std::string& path, const LinearSpec& spec, const HostLinear& host) {
    const WeightFormat format = format_of(path, options_);
    std::int64_t first = 0;
    for (const LinearSpec::Part& part : spec.parts) {
      if (format.is_quantised()) {
        write_quantised(host, format, first, part.out);
      } else {
        write_rows(host, dtype_of(format), first, part.out, path);
      }
      if (spec.bias) {
        write_floats(std::span(host.bias).subspan(static_cast<std::size_t>(first),
                                                  static_cast<std::size_t>(part.out)));
      }
      first += part.out;
    }
  }

  // work(r, n) for pieces of the rows [first, first + count) that are not too large as floats.
  template <class Work>
  static void for_pieces(std::int64_t in, std::int64_t first, std::int64_t count,
                         const Work& work) {
    constexpr std::int64_t kPieceBytes = 16 << 20;
    const std::int64_t piece = std::max<std::int64_t>(1, kPieceBytes / (in * 4));
    for (std::int64_t r = 0; r < count; r += piece) work(first + r, std::min(piece, count - r));
  }

  void write_rows(const HostLinear& host, DType type, std::int64_t first, std::int64_t count,
                  const std::string& path) {
    const auto in = static_cast<std::size_t>(host.in);
    for_pieces(host.in, first, count, [&](std::int64_t r, std::int64_t rows) {
      rows_.resize(static_cast<std::size_t>(rows) * in);
      ThreadTeam::all().for_each(rows, [&](std::int64_t i) {
        host.row(r + i, std::span(rows_).subspan(static_cast<std::size_t>(i) * in, in));
      });
      writer_.write(encoder_.encode(rows_, type, checkpoint_.folder().string() + ": " + path));
    });
  }

  void write_quantised(const HostLinear& host, const WeightFormat& format, std::int64_t first,
                       std::int64_t count) {
    const auto row_bytes = static_cast<std::size_t>(format.row_bytes(host.in));
    const auto row_scales = static_cast<std::size_t>(format.scales(host.in));
    std::vector<BFloat16> scales(static_cast<std::size_t>(count) * row_scales);
    for_pieces(host.in, first, count, [&](std::int64_t r, std::int64_t rows) {
      words_.resize(static_cast<std::size_t>(rows) * row_bytes);
      ThreadTeam::all().for_blocks(rows, [&](std::int64_t begin, std::int64_t block) {
        std::vector<float> scratch(static_cast<std::size_t>(host.in));
        for (std::int64_t i = begin; i < begin + block; ++i) {
          const auto at = static_cast<std::size_t>(i);
          const auto scale = static_cast<std::size_t>(r - first + i) * row_scales;
          host.quantised_row(r + i, format, words_.data() + at * row_bytes, scales.data() + scale,
                             scratch);
        }
      });
      writer_.write(words_);
    });
    writer_.write(std::as_bytes(std::span(scales)));
  }

  // [taps, out] -> [out, 1, k, k]
  void write(const std::string&, const DepthwiseSpec& spec, const HostDepthwise& host) {
    write_transposed(host.weight, static_cast<std::size_t>(spec.out()));
    write_floats(host.bias);
  }
  // [tap, rgb, out] -> [out, rgb, tap]
  void write(const std::string&, const StemSpec& spec, const HostStem& host) {
    const auto out = static_cast<std::size_t>(spec.out);
    std::vector<float> weight(host.weight.size());
    for (std::size_t tap = 0; tap < 9; ++tap) {
      for (std::size_t rgb = 0; rgb < 3; ++rgb) {
        for (std::size_t c = 0; c < out; ++c) {
          weight[(c * 3 + rgb) * 9 + tap] = host.weight[(tap * 3 + rgb) * out + c];
        }
      }
    }
    write_floats(weight);
    write_floats(host.bias);
  }
  void write(const std::string&, const NormSpec&, const HostNorm& host) {
    write_floats(host.weight);
    write_floats(host.bias);
  }

  void write_transposed(std::span<const float> values, std::size_t columns) {
    const std::size_t rows = values.size() / columns;
    std::vector<float> out(values.size());
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < columns; ++c) out[c * rows + r] = values[r * columns + c];
    }
    write_floats(out);
  }
  void write_floats(std::span<const float> values) { writer_.write(std::as_bytes(values)); }

  const Checkpoint& checkpoint_;
  SafetensorsWriter& writer_;
  const ConvertOptions& options_;
  std::int64_t total_ = 0;
  std::int64_t done_ = 0;
  std::vector<float> rows_;
  std::vector<std::byte> words_;
  Encoder encoder_;
};

void copy_tokenizer(const fs::path& from, const fs::path& to) {
  for (const char* name : kCopiedFiles) {
    std::error_code error;
    if (!fs::exists(from / name, error)) continue;
    fs::copy_file(from / name, to / name, fs::copy_options::overwrite_existing, error);
    if (error)
      throw make_error("{}: cannot be copied: {}", (from / name).string(), error.message());
  }
}

// A picture with something everywhere: gradients and stripes.
Image synthetic_image() {
  constexpr std::int64_t kSide = 256;
  Image image;
  image.width = kSide;
  image.height = kSide;
  image.rgb.resize(static_cast<std::size_t>(kSide * kSide * 3));
  for (std::int64_t y = 0; y < kSide; ++y) {
    for (std::int64_t x = 0; x < kSide; ++x) {
      const auto at = static_cast<std::size_t>((y * kSide + x) * 3);
      image.rgb[at] = static_cast<std::uint8_t>(x);
      image.rgb[at + 1] = static_cast<std::uint8_t>(y);
      image.rgb[at + 2] = static_cast<std::uint8_t>(((x / 16 + y / 16) % 2) * 255);
    }
  }
  return image;
}

double distance(std::span<const float> a, std::span<const float> b) {
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    norm += double{a[i]} * a[i];
  }
  return std::sqrt(difference / norm);
}

}  // namespace

void convert_checkpoint(const ConvertOptions& options) {
  const Checkpoint checkpoint = Checkpoint::open(options.input, options.base, options.on_warning);
  for (const fs::path& source : {options.input, options.base}) {
    std::error_code none;
    if (!fs::equivalent(source, options.output, none)) continue;
    throw make_error("{}: is what is converted, and would be lost; choose another folder",
                     options.output.string());
  }
  NewFolder output(options.output, options.force);
  if (options.on_warning) warn_about_head(checkpoint, options.on_warning);

  FastVlm<Plan> model(checkpoint.config());
  Headers headers(options);
  model.visit(headers);
  headers.metadata.insert(
      {{kFormatKey, kFormatVersion}, {"source", checkpoint.config().name}, {"format", "pt"}});
  SafetensorsWriter writer(output.path() / kWeightsFile, headers.tensors, headers.metadata);
  FoldedWriter folded_writer(checkpoint, writer, options);
  model.visit(folded_writer);
  const char* const name = options.format == WeightFormat::kF32   ? "float32"
                           : options.format == WeightFormat::kF16 ? "float16"
                                                                  : "bfloat16";
  write_config(checkpoint.config(), name, output.path());
  copy_tokenizer(checkpoint.tokenizer_folder(), output.path());
  writer.finish();
  output.finish();
}

Comparison compare_checkpoints(const fs::path& a, const fs::path& base, const fs::path& b) {
  const Image image = synthetic_image();
  const auto trace = [&](const fs::path& folder, const fs::path& model_base) {
    return trace_run({.model_path = folder,
                      .model_base = model_base,
                      .prompt_ids = {1, 2, kImageToken, 3, 4},
                      .max_new_tokens = 8,
                      .device = Device::kCpu,
                      .precision = Precision::kF32},
                     *open_pixels(image));
  };
  const auto first = trace(a, base);
  const auto second = trace(b, {});
  const auto find = [](const std::vector<TracedTensor>& traced, std::string_view name) {
    return std::ranges::find(traced, name, &TracedTensor::name);
  };
  const auto values = [&](const std::vector<TracedTensor>& traced, std::string_view name) {
    return std::span<const float>(find(traced, name)->values);
  };
  const auto step = static_cast<std::size_t>(find(first, "logits")->shape[1]);
  return {std::ranges::equal(values(first, "tokens"), values(second, "tokens")),
          distance(values(first, "features"), values(second, "features")),
          distance(values(first, "logits").first(step), values(second, "logits").first(step))};
}

}  // namespace fvlm
