// The whole model against the PyTorch reference: two random checkpoints, four pictures each, every
// stage of the encoder, the embeddings and the logits of every step of greedy decoding.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <tuple>
#include <vector>

#include "fvlm/image.hpp"
#include "kernels/support/make_error.hpp"
#include "runtime/checkpoint/safetensors.hpp"
#include "runtime/engine/trace_run.hpp"
#include "tests/support/devices.hpp"

namespace fvlm {
namespace {

namespace fs = std::filesystem;

std::vector<float> values(const SafetensorsFile& file, const std::string& name) {
  const TensorView* tensor = file.find(name);
  if (tensor == nullptr) return {};
  std::vector<float> out(static_cast<std::size_t>(tensor->elements()));
  copy_as_float(*tensor, out);
  return out;
}

// |a - b| / |b| over the first `count` values.
double relative_error(const std::vector<float>& a, const std::vector<float>& b, std::size_t count) {
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < count; ++i) {
    difference += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    norm += double{b[i]} * b[i];
  }
  return std::sqrt(difference / norm);
}

struct Golden {
  SafetensorsFile expected;
  std::vector<TracedTensor> traced;

  const std::vector<float>& got(const std::string& name) const {
    for (const TracedTensor& t : traced) {
      if (t.name == name) return t.values;
    }
    throw make_error("nothing was traced by the name {}", name);
  }
};

using Parameters = std::tuple<std::string, std::string, Device>;  // checkpoint, picture, device

class GoldenTest : public testing::TestWithParam<Parameters> {
 protected:
  Golden run(Precision precision) const {
    const auto& [shape, picture, device] = GetParam();
    const fs::path folder = fs::path(FVLM_TEST_DATA) / "golden" / shape;
    SafetensorsFile expected = SafetensorsFile::open(folder / "expected.safetensors");
    TraceOptions options{.model_path = folder / "checkpoint",
                         .prompt_ids = {},
                         .max_new_tokens = 24,
                         .device = device,
                         .precision = precision};
    for (const float id : values(expected, picture + ".prompt_ids"))
      options.prompt_ids.push_back(static_cast<std::int32_t>(id));
    const auto file = read_image_file(folder / "images" / (picture + ".png"));
    auto traced = trace_run(options, *open_image(file, picture));
    return {std::move(expected), std::move(traced)};
  }
  std::string name(const std::string& tensor) const {
    return std::get<1>(GetParam()) + "." + tensor;
  }
};

TEST_P(GoldenTest, Float32EqualsTheReference) {
  const Golden golden = run(Precision::kF32);
  EXPECT_EQ(golden.got("pixels"), values(golden.expected, name("pixels")));
  EXPECT_EQ(golden.got("tokens"), values(golden.expected, name("tokens")));
  const double tolerance = std::get<2>(GetParam()) == Device::kCudaEmulated ? 1e-4 : 1e-5;
  int compared = 0;
  for (const char* tensor : {"stem", "stage0", "stage1", "stage2", "stage3", "stage4", "conv_exp",
                             "features", "embeddings", "logits"}) {
    const auto want = values(golden.expected, name(tensor));
    if (want.empty()) continue;  // stages are recorded for one picture only
    const auto& got = golden.got(tensor);
    ASSERT_EQ(got.size(), want.size()) << tensor;
    EXPECT_LT(relative_error(got, want, want.size()), tolerance) << tensor;
    ++compared;
  }
  EXPECT_EQ(compared, std::get<1>(GetParam()) == "wide" ? 10 : 3);
}

TEST_P(GoldenTest, BFloat16IsNear) {
  const Golden golden = run(Precision::kBF16);
  const auto features = values(golden.expected, name("features"));
  EXPECT_LT(relative_error(golden.got("features"), features, features.size()), 2e-2);
  constexpr std::size_t kVocabulary = 1024;  // the first step's logits, before paths can part
  EXPECT_LT(
      relative_error(golden.got("logits"), values(golden.expected, name("logits")), kVocabulary),
      4e-2);
}

std::string name_of_case(const testing::TestParamInfo<Parameters>& tested) {
  const auto& [shape, picture, device] = tested.param;
  return shape + "_" + picture + device_suffix(device);
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTest,
                         testing::Combine(testing::Values("tiny", "gqa7"),
                                          testing::Values("wide", "tall", "small", "exact"),
                                          every_device()),
                         name_of_case);

}  // namespace
}  // namespace fvlm
