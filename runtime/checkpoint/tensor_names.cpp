// The naming rules of the Hugging Face port as tables. A name is a prefix, which says what part of
// the model it belongs to, and dotted segments, of which only the encoder's change.
#include "runtime/checkpoint/tensor_names.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace fvlm {
namespace {

struct Renaming {
  std::string_view llava;
  std::string_view hugging_face;
};

constexpr std::string_view kEncoder = "model.vision_tower.vision_tower.model.";

// The first that fits counts.
constexpr std::array kPrefixes = {
    Renaming{kEncoder, "model.vision_tower.timm_model."},
    Renaming{"model.mm_projector.0.", "model.multi_modal_projector.linear_1."},
    Renaming{"model.mm_projector.2.", "model.multi_modal_projector.linear_2."},
    Renaming{"model.", "model.language_model."},
    Renaming{"", ""},  // lm_head
};

// Whole segments of the encoder's names. All others stay: token_mixer, norm, reparam_conv, fc1 ...
constexpr std::array kSegments = {
    Renaming{"patch_embed", "stem"},
    Renaming{"convffn", "mlp"},
    Renaming{"layer_scale", "layer_scale.gamma"},
    Renaming{"layer_scale_1", "layer_scale_1.gamma"},
    Renaming{"layer_scale_2", "layer_scale_2.gamma"},
    Renaming{"lkb_reparam", "reparam_conv"},
    Renaming{"conv_exp", "final_conv"},
    Renaming{"reduce", "fc1"},
    Renaming{"expand", "fc2"},
};

// LLaVA's network.0 ... network.10 is one flat list; timm groups it by stage.
constexpr std::array<std::string_view, 11> kNetwork = {
    "stages.0.blocks",                                             // network.0
    "stages.1.downsample", "stages.1.blocks",                      // network.1, 2
    "stages.2.downsample", "stages.2.blocks",                      // network.3, 4
    "stages.3.downsample", "stages.3.pos_emb", "stages.3.blocks",  // network.5, 6, 7
    "stages.4.downsample", "stages.4.pos_emb", "stages.4.blocks",  // network.8, 9, 10
};
constexpr std::string_view kNetworkSegment = "network";

// Removes and returns the text up to the next dot.
std::string_view take_segment(std::string_view& name) {
  const std::string_view segment = name.substr(0, name.find('.'));
  name.remove_prefix(std::min(name.size(), segment.size() + 1));
  return segment;
}

std::string_view renamed(std::string_view segment) {
  const auto* found = std::ranges::find(kSegments, segment, &Renaming::llava);
  return found == kSegments.end() ? segment : found->hugging_face;
}

// Where network.INDEX went; empty if timm's encoder has no such part.
std::string_view network_part(std::string_view index) {
  std::size_t i = kNetwork.size();
  const auto [end, error] = std::from_chars(index.data(), index.data() + index.size(), i);
  const bool whole = error == std::errc{} && end == index.data() + index.size();
  return whole && i < kNetwork.size() ? kNetwork[i] : std::string_view{};
}

}  // namespace

std::string hugging_face_name(std::string_view llava_name) {
  const auto* const prefix = std::ranges::find_if(
      kPrefixes, [&](const Renaming& p) { return llava_name.starts_with(p.llava); });
  std::string name(prefix->hugging_face);
  std::string_view rest = llava_name.substr(prefix->llava.size());
  if (prefix->llava != kEncoder) return name.append(rest);

  while (!rest.empty()) {
    const std::string_view segment = take_segment(rest);
    name += segment == kNetworkSegment ? network_part(take_segment(rest)) : renamed(segment);
    if (!rest.empty()) name += '.';
  }
  return name;
}

}  // namespace fvlm
