#include "runtime/checkpoint/weights.hpp"

#include <fmt/ranges.h>

#include <atomic>
#include <cstring>
#include <set>
#include <string_view>
#include <type_traits>

#include "fvlm/core/element.hpp"
#include "fvlm/models/fastvlm.hpp"
#include "kernels/plan/plan.hpp"
#include "kernels/support/thread_team.hpp"
#include "runtime/checkpoint/fold.hpp"

namespace fvlm {
namespace {

class TokenFormats : public Visitor<TokenFormats> {
 public:
  TokenFormats(const Checkpoint& checkpoint, const FormatChoice& formats)
      : checkpoint_(checkpoint), formats_(formats) {}

  template <class P>
  void leaf(const std::string& path, const P& parameter) {
    if constexpr (std::is_same_v<std::decay_t<decltype(parameter.spec)>, LinearSpec>) {
      if (parameter.spec.rows != Rows::kTokens) return;
      names.insert(name_of(formats_.of(checkpoint_.as_stored(path, parameter.spec)).type));
    }
  }

  std::set<std::string_view> names;

 private:
  const Checkpoint& checkpoint_;
  const FormatChoice& formats_;
};

}  // namespace

HostLinear fold(const Checkpoint& checkpoint, const std::string& path, const LinearSpec& spec) {
  return folded_from(checkpoint, path, spec);
}
HostDepthwise fold(const Checkpoint& checkpoint, const std::string& path,
                   const DepthwiseSpec& spec) {
  return folded_from(checkpoint, path, spec);
}
HostStem fold(const Checkpoint& checkpoint, const std::string& path, const StemSpec& spec) {
  return folded_from(checkpoint, path, spec);
}
HostNorm fold(const Checkpoint& checkpoint, const std::string& path, const NormSpec& spec) {
  return folded_from(checkpoint, path, spec);
}

std::string token_formats(const Checkpoint& checkpoint, const FormatChoice& formats) {
  FastVlm<Plan> model(checkpoint.config());
  TokenFormats found(checkpoint, formats);
  model.visit(found);
  return fmt::format("{}", fmt::join(found.names, "+"));
}

void warn_about_head(const Checkpoint& checkpoint, const WarningSink& warn) {
  if (!checkpoint.config().text.tie_word_embeddings) return;
  const TensorView* embedding = checkpoint.find("model.embed_tokens.weight");
  const TensorView* head = checkpoint.find("lm_head.weight");
  if (embedding == nullptr || head == nullptr) return;
  if (embedding->data.size() != head->data.size() ||
      std::memcmp(embedding->data.data(), head->data.data(), head->data.size()) != 0) {
    warn(
        fmt::format("{}: \"lm_head.weight\" differs from \"model.embed_tokens.weight\", which is "
                    "used in its place; "
                    "if the answers are wrong, set \"tie_word_embeddings\" to false in config.json",
                    head->file));
  }
  checkpoint.release(*head);
}

std::int64_t count_non_finite(const TensorView& tensor) {
  // Exponent bits all set: infinity or not a number.
  const auto count = [&](auto element, auto exponent) {
    using Bits = decltype(element);
    std::atomic<std::int64_t> bad = 0;
    ThreadTeam::all().for_blocks(tensor.elements(), [&](std::int64_t first, std::int64_t n) {
      const std::byte* const data =
          tensor.data.data() + static_cast<std::size_t>(first) * sizeof(Bits);
      std::int64_t sum = 0;
      for (std::int64_t i = 0; i < n; ++i) {
        Bits bits;
        std::memcpy(&bits, data + static_cast<std::size_t>(i) * sizeof(Bits), sizeof(Bits));
        sum += (bits & exponent) == exponent ? 1 : 0;
      }
      bad += sum;
    });
    return bad.load();
  };
  switch (tensor.dtype) {
    case DType::kF32:
      return count(std::uint32_t{}, 0x7f800000U);
    case DType::kBF16:
      return count(std::uint16_t{}, std::uint16_t{0x7f80});
    case DType::kF16:
      return count(std::uint16_t{}, std::uint16_t{0x7c00});
    default:
      return 0;
  }
}

}  // namespace fvlm
