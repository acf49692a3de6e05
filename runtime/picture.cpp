#include "runtime/picture.hpp"

#include <chrono>
#include <cstring>
#include <span>
#include <utility>

#include "runtime/image_fit.hpp"

namespace fvlm {
namespace {

// FNV-1a over 8-byte words: fast enough for every frame, and nobody attacks a cache of his own.
std::uint64_t hash_of(std::span<const std::uint8_t> bytes) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  std::size_t i = 0;
  const auto mix = [&hash](std::uint64_t word) { hash = (hash ^ word) * 0x100000001b3U; };
  for (; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, 8);
    mix(word);
    hash ^= hash >> 29;
  }
  for (; i < bytes.size(); ++i) mix(bytes[i]);
  return hash;
}

}  // namespace

Picture make_picture(ImageReader& reader, const PictureFit& fit, std::int64_t side, Pixels memory) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  const std::span pixels(memory.get(), static_cast<std::size_t>(side * side * 3));
  const ShownPart shown = fit_image(reader, fit, side, pixels);
  Picture picture{.pixels = std::move(memory),
                  .side = side,
                  .hash = hash_of(pixels),
                  .thumbnail = make_thumbnail(pixels.data(), side, shown),
                  .warnings = reader.warnings()};
  picture.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return picture;
}

}  // namespace fvlm
