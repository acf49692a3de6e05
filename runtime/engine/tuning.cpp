#include "runtime/engine/tuning.hpp"

#include <fmt/format.h>

#include <charconv>
#include <fstream>
#include <limits>
#include <sstream>
#include <system_error>

#include "fvlm/error.hpp"
#include "runtime/support/cache_folder.hpp"
#include "runtime/support/new_files.hpp"

namespace fvlm {
namespace {

// Changes when lines get another meaning.
constexpr std::string_view kTitle = "fastvlm tiles 2";

std::string head(const TuningIdentity& id) {
  return fmt::format("{}\ndevice {}\ncompute capability {}.{}\ndriver {}\nprogram {}\n", kTitle,
                     id.device, id.major, id.minor, id.driver, id.program);
}

// "kind type m n k gelu residual tile's name", the flags as 0 and 1.
std::string line_of(const GemmKey& key, std::string_view tile) {
  return fmt::format("gemm {} {} {} {} {} {:d} {:d} {}\n", name_of(key.kind), name_of(key.type),
                     key.m, key.n, key.k, key.gelu, key.residual, tile);
}

// Takes what begins the text off it.
bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}
template <class Number>
bool take_number(std::string_view& text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}
// The name of one of those up to `last`, and the space behind it.
template <class Named>
bool take_name(std::string_view& text, Named last, Named& named) {
  for (int i = 0; i <= static_cast<int>(last); ++i) {
    named = static_cast<Named>(i);
    std::string_view rest = text;
    if (!take(rest, name_of(named)) || !take(rest, " ")) continue;
    text = rest;
    return true;
  }
  return false;
}

// An entry that would be written as this line and no other.
bool read_line(std::string_view line, int major, TileTable& table) {
  GemmKey key;
  int gelu = 0;
  int residual = 0;
  std::string_view rest = line;
  constexpr auto kLastKind = GemmKey::Kind::kAttentionInput;
  constexpr auto kLastType = WeightFormat::Type::kInt4;
  if (!take(rest, "gemm ") || !take_name(rest, kLastKind, key.kind) ||
      !take_name(rest, kLastType, key.type) || !take_number(rest, key.m) || !take(rest, " ") ||
      !take_number(rest, key.n) || !take(rest, " ") || !take_number(rest, key.k) ||
      !take(rest, " ") || !take_number(rest, gelu) || !take(rest, " ") ||
      !take_number(rest, residual) || !take(rest, " ")) {
    return false;
  }
  key.gelu = gelu != 0;
  key.residual = residual != 0;
  const int tiles = tile_count(major, key);
  for (int tile = 0; tile < tiles; ++tile) {
    if (line_of(key, tile_name(major, key, tile)) != std::string(line) + "\n") continue;
    return table.emplace(key, tile).second;
  }
  return false;
}

}  // namespace

std::string tuning_text(const TuningIdentity& identity, const TileTable& table) {
  std::string text = head(identity);
  for (const auto& [key, tile] : table) text += line_of(key, tile_name(identity.major, key, tile));
  return text + fmt::format("end {}\n", table.size());
}

std::optional<TileTable> read_tuning(std::string_view text, const TuningIdentity& identity) {
  if (!take(text, head(identity))) return std::nullopt;
  TileTable table;
  while (!text.starts_with("end ")) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return std::nullopt;
    if (!read_line(text.substr(0, end), identity.major, table)) return std::nullopt;
    text.remove_prefix(end + 1);
  }
  if (text != fmt::format("end {}\n", table.size())) return std::nullopt;
  return table;
}

void tune(std::span<const GemmKey> gemms, int major, double budget,
          const std::function<double()>& elapsed,
          const std::function<double(const GemmKey&, int)>& seconds, TileTable& table) {
  for (const GemmKey& key : gemms) {
    const int tiles = tile_count(major, key);
    if (tiles == 0 || table.contains(key)) continue;
    int best = kTileByRule;
    double least = std::numeric_limits<double>::infinity();
    for (int tile = 0; tile < tiles; ++tile) {
      if (elapsed() >= budget) return;
      const double time = seconds(key, tile);
      if (time < least) {
        least = time;
        best = tile;
      }
    }
    if (best != kTileByRule) table[key] = best;
  }
}

std::filesystem::path tuning_file(const TuningIdentity& identity) {
  const auto folder = cache_folder();
  if (folder.empty()) return {};
  std::string name = "tiles-";
  for (const char c : identity.device) {
    const bool is_plain =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    name += is_plain ? c : '-';
  }
  return folder / (name + ".txt");
}

std::optional<TileTable> load_tuning(const std::filesystem::path& file,
                                     const TuningIdentity& identity) {
  constexpr std::uintmax_t kMost = 1 << 20;  // bytes; ours have some thousands
  std::error_code error;
  if (file.empty() || !std::filesystem::is_regular_file(file, error) ||
      std::filesystem::file_size(file, error) > kMost || error) {
    return std::nullopt;
  }
  std::stringstream text;
  text << std::ifstream(file, std::ios::binary).rdbuf();
  return read_tuning(text.str(), identity);
}

bool save_tuning(const std::filesystem::path& file, const TuningIdentity& identity,
                 const TileTable& table) {
  if (file.empty()) return false;
  std::error_code error;
  std::filesystem::create_directories(file.parent_path(), error);
  const auto partial = partial_name(file);
  {
    std::ofstream out(partial, std::ios::binary);
    out << tuning_text(identity, table);
    if (!out.flush()) return false;
  }
  try {
    put_in_place(partial, file);
  } catch (const Error&) {
    return false;
  }
  return true;
}

std::string tuning_version() {
  return FVLM_VERSION;
}

}  // namespace fvlm
