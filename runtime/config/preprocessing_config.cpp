// See preprocessing_config.hpp. Keys that are missing from a processor's file have the defaults of
// its class, which are CLIP's.
#include "runtime/config/preprocessing_config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "runtime/config/json_file.hpp"

namespace fvlm {
namespace {

using nlohmann::json;

constexpr const char* kAspectKey = "image_aspect_ratio";
constexpr const char* kShorterSideKey = "shorter_side";
constexpr const char* kFilterKey = "resample";
constexpr const char* kFilterNames[] = {"bilinear", "bicubic"};  // by the value of Filter
constexpr std::int64_t kClipSide = 224;

std::string class_of(const ConfigObject& processor) {
  constexpr std::string_view kFast = "Fast";
  std::string name = processor.text("image_processor_type");
  if (name.ends_with(kFast)) name.resize(name.size() - kFast.size());
  if (name != "LlavaImageProcessor" && name != "CLIPImageProcessor") {
    processor.fail("image_processor_type",
                   fmt::format("expected LlavaImageProcessor or CLIPImageProcessor, found {}",
                               in_quotes(name)));
  }
  return name;
}

Preprocessing::Filter read_filter(const ConfigObject& processor) {
  constexpr double kBilinear = 2;  // Pillow's numbers
  constexpr double kBicubic = 3;
  const auto number =
      processor.has("resample") ? processor.numbers("resample") : std::vector<double>{kBicubic};
  if (number == std::vector<double>{kBicubic}) return Preprocessing::Filter::kBicubic;
  if (number == std::vector<double>{kBilinear}) return Preprocessing::Filter::kBilinear;
  processor.fail("resample", "expected 2 (bilinear) or 3 (bicubic)");
}

// The encoder takes colours from 0 to 1.
void check_colours(const ConfigObject& processor, bool pads) {
  constexpr double kFactor = 1.0 / 255;
  if (std::abs(processor.positive_or("rescale_factor", kFactor) - kFactor) > 1e-9) {
    processor.fail("rescale_factor", "only 1/255 is supported");
  }
  const bool normalises = processor.boolean("do_normalize").value_or(true);
  const auto expect_all = [&](std::string_view key, double only) {
    if (!processor.has(key)) {
      processor.fail(key, fmt::format("missing, which means CLIP's; only {} is supported", only));
    }
    if (!std::ranges::all_of(processor.numbers(key), [&](double x) { return x == only; })) {
      processor.fail(key, fmt::format("only {} is supported", only));
    }
  };
  if (normalises || pads) expect_all("image_mean", 0);  // also the colour of the padding
  if (normalises) expect_all("image_std", 1);
}

// {"height": N, "width": N}
std::int64_t square_of(const ConfigObject& processor, std::string_view key,
                       const ConfigObject& size) {
  const std::int64_t side = size.size("height");
  if (size.size("width") != side) processor.fail(key, "height and width differ");
  return side;
}

std::int64_t crop_side(const ConfigObject& processor) {
  const auto size = processor.object("crop_size");
  return size ? square_of(processor, "crop_size", *size) : kClipSide;
}

ImageProcessor read_image_processor(const ConfigObject& processor) {
  const bool pads = processor.boolean("do_pad").value_or(false);
  if (pads && class_of(processor) != "LlavaImageProcessor") {
    processor.fail("do_pad", "true is supported with LlavaImageProcessor only");
  }
  class_of(processor);
  check_colours(processor, pads);
  ImageProcessor picture{.fit = {.filter = read_filter(processor)}};

  const auto size = processor.object("size");
  const bool by_shorter = !size || size->has("shortest_edge");
  if (size && size->has("longest_edge")) {
    processor.fail("size", "a \"longest_edge\" is not supported");
  }
  const std::int64_t resized = !size        ? kClipSide
                               : by_shorter ? size->size("shortest_edge")
                                            : square_of(processor, "size", *size);
  if (!pads && !by_shorter) {
    processor.fail("size",
                   "height and width are supported with \"do_pad\" only; give "
                   "\"shortest_edge\"");
  }
  const bool crops = processor.boolean("do_center_crop").value_or(true);
  if (!pads && !crops) {
    processor.fail("do_center_crop", "false is supported with \"do_pad\" only");
  }
  picture.side = crops ? crop_side(processor) : resized;
  if (resized < picture.side || (pads && resized != picture.side)) {
    processor.fail("crop_size",
                   fmt::format("{} pixels do not fit \"size\", {}", picture.side, resized));
  }
  picture.fit.shape = pads ? Preprocessing::Shape::kPad : Preprocessing::Shape::kCrop;
  if (!pads) picture.fit.shorter_side = resized;
  return picture;
}

}  // namespace

Preprocessing read_llava_preprocessing(const ConfigObject& config,
                                       const std::optional<ConfigObject>& vision_config,
                                       std::int64_t image_size) {
  Preprocessing picture;
  const std::string way = config.has(kAspectKey) ? config.text(kAspectKey) : "square";
  if (way == "pad") return picture;
  if (way != "square") {
    config.fail(kAspectKey,
                fmt::format("{} is not supported, only \"pad\" and \"square\"", in_quotes(way)));
  }
  picture.shape = Preprocessing::Shape::kCrop;
  picture.shorter_side = image_size;
  if (!vision_config) return picture;
  picture.shorter_side = vision_config->size_or(kShorterSideKey, image_size);
  if (picture.shorter_side < image_size) {
    vision_config->fail(kShorterSideKey, fmt::format("expected at least {}", image_size));
  }
  if (vision_config->has(kFilterKey)) {
    const std::string name = vision_config->text(kFilterKey);
    const auto* const found = std::ranges::find(kFilterNames, name);
    if (found == std::ranges::end(kFilterNames)) {
      vision_config->fail(kFilterKey, "expected \"bilinear\" or \"bicubic\"");
    }
    picture.filter = static_cast<Preprocessing::Filter>(found - kFilterNames);
  }
  return picture;
}

void write_preprocessing(const Preprocessing& picture, json& config) {
  const bool pads = picture.shape == Preprocessing::Shape::kPad;
  config[kAspectKey] = pads ? "pad" : "square";
  if (pads) return;
  config["vision_config"][kShorterSideKey] = picture.shorter_side;
  config["vision_config"][kFilterKey] = kFilterNames[static_cast<std::size_t>(picture.filter)];
}

std::optional<ImageProcessor> read_processor(const std::filesystem::path& folder,
                                             std::int64_t patch, const ConfigWarning& warn) {
  std::error_code unreadable;
  const auto whole = folder / "processor_config.json";
  if (std::filesystem::exists(whole, unreadable)) {
    const json text = read_json_object(whole);
    const ConfigObject processor(whole.string(), text);
    check_keys(processor, processor_keys(), warn);
    processor.expect("patch_size", patch);
    if (const auto nested = processor.object("image_processor")) {
      check_keys(*nested, image_processor_keys(), warn);
      return read_image_processor(*nested);
    }
  }
  const auto path = folder / "preprocessor_config.json";
  if (!std::filesystem::exists(path, unreadable)) return std::nullopt;
  const json text = read_json_object(path);
  const ConfigObject processor(path.string(), text);
  check_keys(processor, image_processor_keys(), warn);
  return read_image_processor(processor);
}

}  // namespace fvlm
