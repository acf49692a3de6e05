// The stem: which kernel.
#include <type_traits>

#include "fvlm/core/element.hpp"
#include "kernels/cuda/convolution/convolution.hpp"
#include "kernels/cuda/convolution/plain_stem.hpp"
#include "kernels/cuda/convolution/stem_tile.hpp"

namespace fvlm {

namespace target = FVLM_CUDA_TARGET;
using target::kTarget;

template <Target t, class E>
void StemKernels<t, E>::stem(Stream<t>& stream, FeatureMap<const std::uint8_t> pixels,
                             const StemFilters& conv, const DepthwiseFilters& filters,
                             FeatureMap<E> out) {
  constexpr bool kTensorCores = sizeof(E) == 2;
  using Tile = std::conditional_t<kTensorCores, target::StemTile, target::PlainStem>;
  constexpr auto kKernel = [] {
    if constexpr (kTensorCores) {
      return &target::stem_tile;
    } else {
      return &target::plain_stem;
    }
  }();
  const auto tiles = [](std::int64_t count, int each) { return (count + each - 1) / each; };
  target::launch<kKernel>(
      target::Launch{
          .grid = {tiles(out.channels, Tile::kChannels),
                   tiles(out.height, Tile::kRows) * tiles(out.width, Tile::kCols), out.batch},
          .block = Tile::kThreads,
          .shared_bytes = sizeof(Tile),
          .stream = stream,
          .overlap_previous = true},
      pixels.data, static_cast<int>(pixels.height), conv.weight, conv.bias, filters.weight,
      filters.bias, out.data, static_cast<int>(out.channels));
}

template struct StemKernels<kTarget, float>;
template struct StemKernels<kTarget, BFloat16>;

}  // namespace fvlm
