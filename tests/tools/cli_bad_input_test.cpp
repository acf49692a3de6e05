// Wrong and unusual files, given to the program: each wrong one is refused in one line that names
// file and cause, with exit code 2; unusual ones work.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/tools/cli_checkpoint.hpp"
#include "tests/tools/cli_program.hpp"

namespace fvlm {
namespace {

const std::filesystem::path kImages = std::filesystem::path(FVLM_TEST_DATA) / "images";

Exit describe(const std::string& checkpoint, const std::filesystem::path& image,
              const std::string& prompt = "?") {
  return run_program({"describe", "--model-path", checkpoint, "--image-file", image.string(),
                      "--prompt", prompt, "--max_new_tokens", "2", "--threads", "1"});
}

class BadCheckpoint : public ::testing::Test {
 protected:
  Exit describe_any() const {
    return describe(checkpoint_.path(), kGoldenTiny / "images" / "small.png");
  }

  CheckpointCopy checkpoint_;
};

TEST_F(BadCheckpoint, FolderMissing) {
  expect_refusal(describe(checkpoint_.path() + "/none", kGoldenTiny / "images" / "small.png"),
                 {checkpoint_.path() + "/none"});
  expect_refusal(run_program({"tokenize", "--tokenizer", "/none"}), {"/none"});
  expect_refusal(run_program({"chat", "--model-path", "/none"}), {"/none"});
}

TEST_F(BadCheckpoint, ConfigKeyMissing) {
  checkpoint_.change_config([](auto& config) { config.erase("hidden_size"); });
  expect_refusal(describe_any(), {"config.json", "hidden_size"});
}

TEST_F(BadCheckpoint, WrongShape) {
  checkpoint_.change_weights([](auto& header, std::string&) {
    header["model.layers.1.mlp.up_proj.weight"]["shape"] = {64, 160};
  });
  expect_refusal(describe_any(), {"model.safetensors", "model.layers.1.mlp.up_proj.weight", "160"});
}

TEST_F(BadCheckpoint, FileTruncated) {
  std::filesystem::resize_file(checkpoint_.weights(), 1'000'000);
  expect_refusal(describe_any(), {"model.safetensors"});
}

TEST_F(BadCheckpoint, FileEmpty) {
  std::filesystem::resize_file(checkpoint_.weights(), 0);
  expect_refusal(describe_any(), {"model.safetensors"});
}

TEST_F(BadCheckpoint, HeaderLongerThanTheFile) {
  std::string content = read_file(checkpoint_.weights());
  content[3] = '\x05';  // of the header's length: + 80 MB
  write_file(checkpoint_.weights(), content);
  expect_refusal(describe_any(), {"model.safetensors", "header"});
}

TEST_F(BadCheckpoint, RangesOverlap) {
  checkpoint_.change_weights([](auto& header, std::string&) {
    for (auto& offset : header["model.layers.0.self_attn.k_proj.bias"]["data_offsets"]) {
      offset = offset.template get<std::size_t>() - 2;
    }
  });
  expect_refusal(describe_any(), {"model.safetensors", "model.layers.0.self_attn.k_proj.bias"});
}

TEST_F(BadCheckpoint, ShardMissing) {
  std::filesystem::remove(checkpoint_.weights());
  write_file(checkpoint_ / "model.safetensors.index.json",
             R"({"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}})");
  expect_refusal(describe_any(), {"model-00001-of-00002.safetensors"});
}

TEST_F(BadCheckpoint, MergesContradictTheVocabulary) {
  write_file(checkpoint_ / "merges.txt", read_file(checkpoint_ / "merges.txt") + "\nqqq zzz\n");
  expect_refusal(describe_any(), {"merges.txt", "qqq"});
}

TEST_F(BadCheckpoint, WeightsThatAreNotNumbersAreAWarning) {
  checkpoint_.change_weights([](const auto& header, std::string& data) {
    const std::size_t begin = header.at("model.layers.0.mlp.up_proj.weight")["data_offsets"][0];
    data.replace(begin, 64, 64, '\xff');
  });
  const Exit exit = describe_any();
  EXPECT_EQ(exit.code, 0) << exit.errors;
  EXPECT_TRUE(exit.messages().starts_with("fastvlm: warning: ")) << exit.errors;
  EXPECT_PRED2(contains, exit.errors, "model.layers.0.mlp.up_proj.weight");
}

TEST_F(BadCheckpoint, PromptLongerThanTheContext) {
  expect_refusal(describe(checkpoint_.path(), kGoldenTiny / "images" / "small.png",
                          std::string(20'000, '7')),  // one token each
                 {"20", "context"});
}

class BadImage : public ::testing::Test {
 protected:
  // The checkpoint is missing too: headers of pictures are looked at first.
  void expect_image_refused(const std::string& content, const std::string& cause) const {
    write_file(image_, content);
    expect_refusal(describe("/none", image_), {image_.string(), cause});
  }

  TemporaryFolder folder_;
  std::filesystem::path image_ = folder_ / "picture.jpg";
};

TEST_F(BadImage, Missing) {
  expect_refusal(describe("/none", image_), {image_.string()});
}

TEST_F(BadImage, Empty) {
  expect_image_refused("", "empty");
}

TEST_F(BadImage, Text) {
  expect_image_refused("Once upon a time there was a picture.\n", "JPEG");
}

TEST_F(BadImage, TruncatedJpeg) {
  const std::string whole = read_file(kImages / "420.jpg");
  write_file(image_, whole.substr(0, whole.size() * 2 / 3));
  expect_refusal(describe((kGoldenTiny / "checkpoint").string(), image_),
                 {image_.string(), "truncated"});
}

TEST_F(BadImage, HugePng) {
  const std::string header("\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x75\x30\0\0\x75\x30\x08\x02\0\0\0",
                           29);
  expect_image_refused(header + std::string("\xe9\x45\x6f\xed", 4), "30000");
}

TEST(UnusualImage, Works) {
  for (const char* name : {"cmyk.jpg", "ycck.jpg", "gray16.png", "rgb16.png", "palette4.png",
                           "palette8_transparent.png", "lossless.webp"}) {
    const Exit exit = describe((kGoldenTiny / "checkpoint").string(), kImages / name);
    EXPECT_EQ(exit.code, 0) << name << ": " << exit.errors;
    EXPECT_EQ(exit.messages(), "") << name;
  }
}

// Each says what was given, and what would be right.
TEST(WrongFlag, SaysWhatWouldBeRight) {
  struct Case {
    Arguments flags;
    std::string message;
  };
  for (const auto& [flags, message] : std::vector<Case>{
           {{"serve", "--port", "70000"},
            "--port: \"70000\" is not a whole number from 0 to 65535"},
           {{"serve", "--port", "99999999999999999999"}, "is not a whole number from 0 to 65535"},
           {{"serve", "--port", "x"}, "--port: \"x\" is not a whole number from 0 to 65535"},
           {{"serve", "--port"}, "--port needs a value: --port PORT; run fastvlm serve --help"},
           {{"serve", "--drain", "-1"}, "--drain: \"-1\" is not a number of 0 or more"},
           {{"serve", "--drain", "inf"}, "--drain: \"inf\" is not a number of 0 or more"},
           {{"serve", "--idle-timeout", " 1"}, "is not a number from 0.01 to 86400"},
           {{"serve", "--log-level", "loud"}, "\"loud\" is none of error, warn, info, debug"},
           {{"describe", "--device", "foo"}, "--device: \"foo\" is none of auto, cpu, ref, cuda"},
           {{"describe", "--device", "foo"}, "cuda:N"},
           {{"describe", "--max_new_tokens", "1.5"},
            "--max_new_tokens: \"1.5\" is not a whole number"},
           {{"describe", "--temperature", "hot"}, "--temperature: \"hot\" is not a number"},
           {{"describe", "--seed", "99999999999999999999"}, "is not a whole number of 64 bits"},
           {{"describe", "--seed", "-1"}, "is not a whole number of 64 bits"},
           {{"serve", "--quiet", "--verbose"}, "--quiet and --verbose exclude each other"},
           {{"convert", "--group-size", "7"}, "--group-size: \"7\" is none of 32, 64, 128"},
           {{"info", "--depth", "0"}, "--depth: \"0\" is not a whole number above 0"}}) {
    expect_refusal(run_program(flags), {message});
  }
}

}  // namespace
}  // namespace fvlm
