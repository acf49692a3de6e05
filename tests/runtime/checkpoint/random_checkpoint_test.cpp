// Checkpoints of random weights: complete, reproducible, and of the right shapes for every size.
#include "runtime/checkpoint/random_checkpoint.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>

#include "fvlm/models/fastvlm.hpp"
#include "kernels/plan/plan.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/checkpoint/weights.hpp"
#include "runtime/tokenizer/tokenizer.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fvlm {
namespace {

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(RandomCheckpoint, HoldsEveryTensorOfTheModel) {
  const TemporaryFolder folder;
  write_random_checkpoint(
      {.size = "tiny", .seed = 3, .output = folder.path(), .tokenizer = {}, .on_progress = {}});
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  FastVlm<Plan> model(checkpoint.config());
  StoredBytes size(checkpoint);
  model.visit(size);  // throws for a tensor that is missing or has another shape
  EXPECT_GT(size.bytes, 2'000'000);
  for (const TensorView* tensor : checkpoint.tensors())
    EXPECT_EQ(count_non_finite(*tensor), 0) << tensor->name;
  // Tied, and stored all the same, as the released ones are.
  EXPECT_TRUE(std::ranges::equal(checkpoint.find("lm_head.weight")->data,
                                 checkpoint.find("model.embed_tokens.weight")->data));
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("héllo<|im_end|>")), "héllo<|im_end|>");
}

TEST(RandomCheckpoint, DependsOnTheSeedAlone) {
  const TemporaryFolder folder;
  for (const auto& [name, seed] : {std::pair("a", 1U), std::pair("b", 1U), std::pair("c", 2U)}) {
    write_random_checkpoint({.size = "tiny",
                             .seed = seed,
                             .output = folder / name,
                             .tokenizer = {},
                             .on_progress = {}});
  }
  EXPECT_EQ(bytes_of(folder / "a/model.safetensors"), bytes_of(folder / "b/model.safetensors"));
  EXPECT_NE(bytes_of(folder / "a/model.safetensors"), bytes_of(folder / "c/model.safetensors"));
}

TEST(RandomCheckpoint, CutsALargerVocabulary) {
  const TemporaryFolder folder;
  write_random_checkpoint({.size = "tiny",
                           .output = folder.path(),
                           .tokenizer = std::filesystem::path(FVLM_TEST_DATA) / "tokenizer",
                           .on_progress = {}});
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer.size(), 1000);
  EXPECT_EQ(tokenizer.encode("in").size(), 1U);
}

TEST(RandomCheckpoint, RefusesUnknownSizes) {
  EXPECT_THROW(write_random_checkpoint(
                   {.size = "2b", .output = "/nowhere", .tokenizer = {}, .on_progress = {}}),
               Error);
}

}  // namespace
}  // namespace fvlm
