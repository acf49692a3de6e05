#include "runtime/image/prepare.hpp"

#include <chrono>
#include <span>
#include <utility>

#include "runtime/image/fit.hpp"
#include "runtime/image/thumbnail.hpp"
#include "runtime/support/keyed_hash.hpp"

namespace fvlm {
PreparedImage prepare_image(ImageReader& reader, const Preprocessing& fit, std::int64_t side,
                            Pixels memory) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  const std::span pixels(memory.get(), static_cast<std::size_t>(side * side * 3));
  const ShownPart shown = fit_image(reader, fit, side, pixels);
  PreparedImage picture{.pixels = std::move(memory),
                        .side = side,
                        .hash = secret_hash(pixels),
                        .thumbnail = make_thumbnail(pixels.data(), side, shown),
                        .warnings = reader.warnings()};
  picture.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return picture;
}

}  // namespace fvlm
