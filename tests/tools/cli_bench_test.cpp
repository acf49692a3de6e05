// fastvlm bench --kernels, in the emulator: what it measures, not how fast that is.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "tests/tools/cli_program.hpp"

namespace fvlm {
namespace {

using nlohmann::json;

const std::string kBenched = std::string(FVLM_TEST_DATA) + "/golden/tiny/checkpoint";

#ifdef FVLM_HAS_EMULATOR
TEST(BenchKernels, MeasuresEachProductOfTheModel) {
  const Exit exit = run_program({"bench", "--kernels", "--model-path", kBenched, "--device",
                                 "cuda-emulated", "--runs", "1", "--json", "--verbose"});
  ASSERT_EQ(exit.code, 0) << exit.errors;
  EXPECT_NE(exit.errors.find("fastvlm: measuring "), std::string::npos) << exit.errors;
  const json report = json::parse(exit.output);
  std::set<std::string> passes;
  std::set<std::string> names;
  std::size_t tiles = 0;
  for (const json& product : report.at("products")) {
    passes.insert(product.at("pass").get<std::string>().substr(0, 7));
    names.insert(product.at("name"));
    EXPECT_GT(product.at("m"), 0);
    EXPECT_GT(product.at("us"), 0);
    EXPECT_NE(product.at("variant"), "");
    EXPECT_TRUE(product.at("fraction").is_null()) << "the emulator has no roofline";
    EXPECT_TRUE(product.at("cublaslt_us").is_null());
    if (product.at("name") == "fc1") tiles = std::max(tiles, product.at("tiles_us").size());
  }
  EXPECT_EQ(tiles, 4U) << "each tile of the encoder's GEMMs";
  EXPECT_EQ(passes, (std::set<std::string>{"decode ", "encoder", "prefill"}));
  for (const char* name : {"linear", "projector", "qkv", "o", "gate_up", "down", "head"}) {
    EXPECT_TRUE(names.contains(name)) << name;
  }
}

TEST(Device, EmulatedOnesHaveNumbers) {
  const Exit exit = run_program({"describe", "--model-path", kBenched, "--image-file",
                                 FVLM_SOURCE "/tools/demo/images/0008.jpg", "--max_new_tokens", "1",
                                 "--device", "cuda-emulated:0"});
  EXPECT_EQ(exit.code, 0) << exit.errors;
  expect_refusal(
      run_program({"bench", "--kernels", "--model-path", kBenched, "--device", "cuda-emulated:1"}),
      {"--device cuda-emulated:1", "there is 1 such device", "cuda-emulated:0 (emulated"});
  expect_refusal(run_program({"bench", "--model-path", kBenched, "--device", "cuda-emulated:7"}),
                 {"--device cuda-emulated:7", "there is 1 such device"});
}
#endif

TEST(BenchKernels, NeedsADevice) {
  expect_refusal(run_program({"bench", "--kernels", "--model-path", kBenched, "--device", "cpu"}),
                 {"--kernels", "no CUDA device"});
}

TEST(Device, NumbersAreOfCudaDevices) {
  for (const char* device : {"cpu:1", "auto:0", "cuda:", "cuda:x", "cuda:-1", "cuda:12345"}) {
    expect_refusal(run_program({"bench", "--model-path", kBenched, "--device", device}),
                   {"--device", device, "run fastvlm bench --help"});
  }
}

}  // namespace
}  // namespace fvlm
