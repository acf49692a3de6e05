#include "runtime/checkpoint/random_checkpoint.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <numbers>
#include <span>

#include "fvlm/models/fastvlm.hpp"
#include "kernels/plan/plan.hpp"
#include "kernels/support/make_error.hpp"
#include "kernels/support/thread_team.hpp"
#include "runtime/checkpoint/safetensors_writer.hpp"
#include "runtime/config/config_file.hpp"
#include "runtime/config/model_sizes.hpp"
#include "runtime/support/new_files.hpp"

namespace fvlm {
namespace {

namespace fs = std::filesystem;

// SplitMix64 (Steele, Lea and Flood, 2014): any index of the sequence without those before it.
std::uint64_t random_bits(std::uint64_t seed, std::uint64_t index) {
  std::uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15U;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31);
}

// The values at 2^16 equally likely places of a distribution: 16 random bits pick one, so that a
// billion weights take a second.
using Table = std::vector<BFloat16>;
constexpr std::size_t kPlaces = 1 << 16;

Table uniform(double low, double high) {
  Table table(kPlaces);
  for (std::size_t i = 0; i < kPlaces; ++i) {
    table[i] =
        BFloat16(static_cast<float>(low + (high - low) * (static_cast<double>(i) + 0.5) / kPlaces));
  }
  return table;
}

Table normal(double deviation) {
  // Quantiles, by stepping through the integral of the density.
  Table table(kPlaces);
  double x = -4.5;
  double reached = 0.5 * std::erfc(-x / std::numbers::sqrt2);
  for (std::size_t i = 0; i < kPlaces; ++i) {
    const double wanted = (static_cast<double>(i) + 0.5) / kPlaces;
    for (int step = 0; step < 3; ++step) {  // Newton from the place before
      reached = 0.5 * std::erfc(-x / std::numbers::sqrt2);
      const double density = std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi);
      x += std::clamp((wanted - reached) / density, -0.5, 0.5);
    }
    table[i] = BFloat16(static_cast<float>(x * deviation));
  }
  return table;
}

// Distributions under which activations stay near unit size from layer to layer.
Table distribution(const StoredTensor& tensor) {
  std::int64_t fan_in = 1;
  for (std::size_t i = 1; i < tensor.shape.size(); ++i) fan_in *= tensor.shape[i];
  const double unit = 1 / std::sqrt(static_cast<double>(fan_in));
  switch (tensor.role) {
    case Role::kWeight:
      return normal(1.3 * unit);
    case Role::kEmbedding:
      return normal(3 * unit);
    case Role::kBias:
    case Role::kMean:
      return uniform(-0.1, 0.1);
    case Role::kGain:
      return uniform(0.7, 1.3);
    case Role::kLayerScale:
      return uniform(0.1, 0.3);
    case Role::kVariance:
      return uniform(0.5, 2.0);
    case Role::kScales:
      break;  // a released checkpoint has none
  }
  return {};
}

std::uint64_t seed_of(std::uint64_t seed, std::string_view name) {
  for (const char c : name) seed = random_bits(seed, static_cast<unsigned char>(c));
  return seed;
}

std::int64_t elements_of(const StoredTensor& tensor) {
  std::int64_t product = 1;
  for (const std::int64_t n : tensor.shape) product *= n;
  return product;
}

class TensorList : public Visitor<TensorList> {
 public:
  template <class P>
  void leaf(const std::string& path, const P& parameter) {
    for (StoredTensor& t : stored_tensors(path, parameter.spec)) tensors.push_back(std::move(t));
  }
  std::vector<StoredTensor> tensors;
};

void write_text(const fs::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) throw make_error("{}: cannot be written", path.string());
}

// A tokenizer whose tokens are the single bytes, written as byte-level BPE writes them: printable
// characters of Latin-1 as they are, the others from U+0100 on.
void write_byte_tokenizer(const fs::path& folder) {
  nlohmann::json vocabulary;
  unsigned next = 0x100;
  const auto utf8 = [](unsigned c) {
    return c < 0x80 ? std::string(1, static_cast<char>(c))
                    : std::string{static_cast<char>(0xc0 | (c >> 6)),
                                  static_cast<char>(0x80 | (c & 0x3f))};
  };
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte != 0xad);
    vocabulary[utf8(printable ? byte : next++)] = byte;
  }
  write_text(folder / "vocab.json", vocabulary.dump());
  write_text(folder / "merges.txt", "#version: 0.2\n");
}

// The part of a tokenizer whose ids are below `limit`: all of Qwen2's for the released sizes.
void write_cut_tokenizer(const fs::path& from, const fs::path& to, std::int64_t limit) {
  const auto open = [&](const char* name) {
    std::ifstream file(from / name, std::ios::binary);
    if (!file) {
      throw make_error("{}: cannot be read: {}; expected a folder with vocab.json and merges.txt",
                       (from / name).string(), std::strerror(errno));
    }
    return file;
  };
  std::ifstream vocabulary_file = open("vocab.json");
  const auto all = nlohmann::json::parse(vocabulary_file, nullptr, false);
  if (!all.is_object()) throw make_error("{}: not a JSON object", (from / "vocab.json").string());
  nlohmann::json kept;
  for (const auto& [token, id] : all.items()) {
    if (id.is_number_integer() && id < limit) kept[token] = id;
  }
  std::ifstream merges_file = open("merges.txt");
  std::string merges;
  for (std::string line; std::getline(merges_file, line);) {
    std::string merged = line;
    std::erase(merged, ' ');
    if (line.starts_with("#version") || kept.contains(merged)) merges += line + "\n";
  }
  write_text(to / "vocab.json", kept.dump());
  write_text(to / "merges.txt", merges);
}

// `from`: see RandomCheckpointOptions::tokenizer.
void write_tokenizer(const fs::path& from, const fs::path& to, const ModelSize& size) {
  if (from.empty()) {
    write_byte_tokenizer(to);
  } else {
    write_cut_tokenizer(from, to, size.first_special);
  }
  nlohmann::json added;
  std::int64_t id = size.first_special;
  for (const char* token : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) added[token] = id++;
  write_text(to / "added_tokens.json", added.dump(2));
}

// Shards as released: consecutive tensors of at most 5 GB.
std::vector<std::vector<StoredTensor>> shards_of(std::vector<StoredTensor> tensors) {
  constexpr std::int64_t kShardBytes = 5'000'000'000;
  std::vector<std::vector<StoredTensor>> shards;
  std::int64_t left = 0;
  for (StoredTensor& tensor : tensors) {
    const std::int64_t bytes = elements_of(tensor) * 2;
    if (shards.empty() || bytes > left) {
      shards.emplace_back();
      left = kShardBytes;
    }
    left -= bytes;
    shards.back().push_back(std::move(tensor));
  }
  return shards;
}

void write_tensor(SafetensorsWriter& writer, const Table& table, std::uint64_t seed,
                  std::int64_t elements) {
  constexpr std::int64_t kPiece = 1 << 20;
  constexpr std::int64_t kBlock = 1 << 14;  // of a thread; whole words of four places
  std::vector<BFloat16> piece(static_cast<std::size_t>(std::min(kPiece, elements)));
  for (std::int64_t first = 0; first < elements; first += kPiece) {
    const std::int64_t count = std::min(kPiece, elements - first);
    ThreadTeam::all().for_blocks(count, kBlock, [&](std::int64_t begin, std::int64_t n) {
      for (std::int64_t i = begin; i < begin + n; i += 4) {
        std::uint64_t bits = random_bits(seed, static_cast<std::uint64_t>(first + i));
        for (std::int64_t k = i; k < std::min(i + 4, begin + n); ++k, bits >>= 16) {
          piece[static_cast<std::size_t>(k)] = table[bits & (kPlaces - 1)];
        }
      }
    });
    writer.write(std::as_bytes(std::span(piece).first(static_cast<std::size_t>(count))));
  }
}

}  // namespace

std::vector<std::string> model_sizes() {
  std::vector<std::string> names;
  for (const ModelSize& size : sizes()) names.emplace_back(size.name);
  return names;
}

void write_random_checkpoint(const RandomCheckpointOptions& options) {
  const auto size = std::find_if(sizes().begin(), sizes().end(),
                                 [&](const auto& s) { return s.name == options.size; });
  if (size == sizes().end())
    throw make_error("unknown size \"{}\"; there are {}", options.size,
                     fmt::join(model_sizes(), ", "));
  NewFolder output(options.output, options.force);

  FastVlm<Plan> model(config_of(*size));
  TensorList list;
  model.visit(list);
  if (size->tied) {  // released checkpoints store the head all the same
    list.tensors.push_back({"lm_head.weight", {size->vocab, size->hidden}, Role::kEmbedding});
  }
  std::int64_t total = 0;
  for (const StoredTensor& tensor : list.tensors) total += elements_of(tensor);

  std::int64_t done = 0;
  nlohmann::json weight_map;
  const auto shards = shards_of(std::move(list.tensors));
  std::map<std::pair<Role, std::int64_t>, Table> tables;
  for (std::size_t s = 0; s < shards.size(); ++s) {
    const std::string name =
        shards.size() == 1 ? "model.safetensors"
                           : fmt::format("model-{:05}-of-{:05}.safetensors", s + 1, shards.size());
    std::vector<TensorHeader> headers;
    for (const StoredTensor& t : shards[s]) {
      headers.push_back({t.name, DType::kBF16, t.shape});
      weight_map[t.name] = name;
    }
    SafetensorsWriter writer(output.path() / name, std::move(headers));
    for (const StoredTensor& t : shards[s]) {
      if (options.on_progress)
        options.on_progress(static_cast<double>(done) / static_cast<double>(total));
      const bool tied_head = size->tied && t.name == "lm_head.weight";
      const std::string_view source =
          tied_head ? "model.embed_tokens.weight" : std::string_view(t.name);
      const std::int64_t elements = elements_of(t);
      Table& table = tables[{t.role, elements / t.shape[0]}];
      if (table.empty()) table = distribution(t);
      write_tensor(writer, table, seed_of(options.seed, source), elements);
      done += elements;
    }
    writer.finish();
  }
  if (shards.size() > 1) {
    write_text(
        output.path() / "model.safetensors.index.json",
        nlohmann::json{{"metadata", {{"total_size", 2 * total}}}, {"weight_map", weight_map}}.dump(
            2));
  }
  write_config(config_of(*size), "bfloat16", output.path());
  write_tokenizer(options.tokenizer, output.path(), *size);
  output.finish();
}

}  // namespace fvlm
