// HEIC and AVIF whose coded pictures are not what their files declare: they are refused before they
// cost anything.
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/image/formats.hpp"
#include "tests/runtime/image/coded_pictures.hpp"
#include "tests/runtime/image/samples.hpp"

namespace fvlm {
namespace {

constexpr CodedSize kSmall = {64, 64};
constexpr CodedSize kLarge = {4096, 2304};  // the largest AV1 picture of one tile
const std::string kLarger = "what is coded is larger than the file declares";

std::string read_error(const std::string& file) {
  return error_or_nothing(
      [&] { read_rows(*image_formats::open_heif(std::as_bytes(std::span(file)), "picture", {})); });
}

// Bytes that reading adds to the memory of a process that does nothing else.
[[maybe_unused]] std::int64_t cost_of_reading(const std::string& file) {
  malloc_trim(0);  // what is freed and kept would be used again
  const pid_t child = fork();
  if (child == 0) {
    const auto peak = [] {
      rusage usage{};
      getrusage(RUSAGE_SELF, &usage);
      return usage.ru_maxrss;
    };
    const auto before = peak();
    read_error(file);
    constexpr std::int64_t kMegabyteInKilobytes = 1024;
    _exit(static_cast<int>(std::min<std::int64_t>((peak() - before) / kMegabyteInKilobytes, 255)));
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  return std::int64_t{WEXITSTATUS(status)} << 20;
}

std::string avif(CodedSize declared, const std::string& data) {
  return heif_file("avif", {{"av01", av1_config(), declared.width, declared.height, data, {}}});
}

std::string heic(CodedSize declared, const HevcPicture& picture) {
  return heif_file(
      "heic", {{"hvc1", hevc_config(picture), declared.width, declared.height, picture.data, {}}});
}

class HeifLimits : public testing::Test {
 protected:
  void SetUp() override {
    if (image_formats::kReadableFormats.find("HEIC") == std::string_view::npos) {
      GTEST_SKIP() << "built without libheif";
    }
    hevc_ = hevc_picture(read_file(sample_path("lossless.heic")));
  }

  // The picture with one unit of its configuration changed.
  template <class Change>
  HevcPicture with_changed(int type, const Change& change) const {
    HevcPicture changed = hevc_;
    for (std::string& unit : changed.units) {
      if (unit_type(unit) == type) unit = change(unit);
    }
    return changed;
  }
  std::string unit_of(int type) const {
    for (const std::string& unit : hevc_.units) {
      if (unit_type(unit) == type) return unit;
    }
    throw std::logic_error("no such unit");
  }

  HevcPicture hevc_;  // 64x64 as coded
};

void expect_refused(const std::string& file, const std::string& message) {
  EXPECT_PRED2(contains, read_error(file), message);
#ifndef FVLM_SANITIZED
  constexpr std::int64_t kLittle = std::int64_t{16} << 20;
  EXPECT_LT(cost_of_reading(file), kLittle);
#endif
}

// What is refused below is refused for its size alone, and would cost something.
TEST_F(HeifLimits, HonestFilesAreRead) {
  EXPECT_EQ(read_error(avif(kSmall, av1_picture(kSmall, kSmall))), "");
  EXPECT_EQ(read_error(avif(kLarge, av1_picture(kLarge, kLarge))), "");
  EXPECT_EQ(read_error(avif(kSmall, av1_picture(kLarge, kSmall))), "");
  EXPECT_EQ(read_error(avif(kLarge, av1_picture(kSmall, kLarge))), "");
  EXPECT_EQ(read_error(heic(kSmall, hevc_)), "");
  EXPECT_EQ(read_error(heic(
                kLarge, with_changed(kSequenceSet,
                                     [](const std::string& set) { return resized(set, kLarge); }))),
            "");
#ifndef FVLM_SANITIZED
  EXPECT_GT(cost_of_reading(avif(kLarge, av1_picture(kLarge, kLarge))), std::int64_t{48} << 20);
#endif
}

TEST_F(HeifLimits, LargerAv1SequencesAreRefused) {
  expect_refused(avif(kSmall, av1_picture(kLarge, kLarge)), kLarger);
}

TEST_F(HeifLimits, LargerAv1FramesAreRefused) {
  expect_refused(avif(kSmall, av1_picture(kSmall, kLarge)), kLarger);
}

TEST_F(HeifLimits, Av1FramesThatArePutAsideAreLimited) {
  EXPECT_EQ(read_error(avif(kSmall, av1_picture(kSmall, kSmall, 3))), "");
  EXPECT_PRED2(contains, read_error(avif(kSmall, av1_picture(kSmall, kSmall, 7))),
               "too many frames");
}

TEST_F(HeifLimits, LargerHevcSequencesAreRefused) {
  const auto enlarge = [](const std::string& set) { return resized(set, kLarge); };
  expect_refused(heic(kSmall, with_changed(kSequenceSet, enlarge)),
                 "4096x2304");  // libheif 1.22 looks too
  HevcPicture in_data = hevc_;
  in_data.data = with_length(enlarge(unit_of(kSequenceSet))) + in_data.data;
  expect_refused(heic(kSmall, in_data), kLarger);
}

TEST_F(HeifLimits, DeeperHevcSamplesAreRefused) {
  const auto deepen = [](const std::string& set) { return resized(set, kSmall, 2); };
  EXPECT_PRED2(contains, read_error(heic(kSmall, with_changed(kSequenceSet, deepen))),
               kLarger + ": samples of 10 bits");
}

TEST_F(HeifLimits, HevcOfMoreThanOnePictureIsRefused) {
  HevcPicture twice = hevc_;
  twice.data += hevc_.data;
  EXPECT_PRED2(contains, read_error(heic(kSmall, twice)), "more than one HEVC picture");

  constexpr std::size_t kType = 4;
  constexpr int kClean = 21;
  HevcPicture clean = hevc_;
  clean.data[kType] = kClean << 1;
  EXPECT_PRED2(contains, read_error(heic(kSmall, clean)), "type 21, only IDR");
}

TEST_F(HeifLimits, HevcUnitsThatAddUpAreLimited) {
  HevcPicture sets = hevc_;
  for (int i = 0; i < 3; ++i) sets.data = with_length(unit_of(kPictureSet)) + sets.data;
  EXPECT_EQ(read_error(heic(kSmall, sets)), "");
  sets.data = with_length(unit_of(kPictureSet)) + sets.data;
  EXPECT_PRED2(contains, read_error(heic(kSmall, sets)), "picture parameter sets");

  HevcPicture slices = hevc_;
  const std::string slice = with_length(std::string("\x28\x01\x00\x80", 4));
  for (int i = 0; i < 600; ++i) slices.data += slice;
  EXPECT_PRED2(contains, read_error(heic(kSmall, slices)), "more than 600 HEVC slices");
}

TEST_F(HeifLimits, HigherLayersAreLeftOut) {
  const std::string expected = read_file(sample_path("lossless.heic.rgb"));
  std::string set = resized(unit_of(kSequenceSet), kLarge);
  constexpr char kLayer1 = 1 << 3;
  set[1] = static_cast<char>(set[1] | kLayer1);
  HevcPicture layered = hevc_;
  layered.data = with_length(set) + layered.data;
  EXPECT_EQ(read_error(heic(kSmall, layered)), "");
}

// What is declared counts before it is cut to what is shown.
TEST_F(HeifLimits, MemoryIsThatOfTheWholePicture) {
  std::string file = read_file(sample_path("lossless.heic"));  // 27x20 of 64x64
  file.replace(file.find("ispe") + 8, 8, big_endian(1024, 4) + big_endian(1024, 4));
  const auto reader = image_formats::open_heif(std::as_bytes(std::span(file)), "picture", {});
  EXPECT_EQ(reader->info().width, 27);
  EXPECT_GE(reader->info().memory, std::size_t{1024 * 1024 * 9});
}

// AV1 takes more, whatever the file says that it is.
TEST_F(HeifLimits, MemoryIsThatOfTheCoding) {
  const auto memory = [](const std::string& brand) {
    const std::string file =
        heif_file(brand, {{"av01", av1_config(), 64, 64, av1_picture(kSmall, kSmall), {}}});
    return image_formats::open_heif(std::as_bytes(std::span(file)), "picture", {})->info().memory;
  };
  EXPECT_EQ(memory("heic"), memory("avif"));
}

// Tiles reach beyond the edges, and a picture may be as large as a side of it allows.
TEST_F(HeifLimits, GridsAreRead) {
  const CodedSize tile = {1024, 128};
  std::vector<HeifItem> items = {
      {"grid", "", 5000, 100, heif_grid(1, 5, 5000, 100), {2, 3, 4, 5, 6}}};
  while (items.size() < 6) {
    items.push_back({"av01", av1_config(), tile.width, tile.height, av1_picture(tile, tile), {}});
  }
  const std::string file = heif_file("avif", items);
  EXPECT_EQ(read_error(file), "");
}

// Of 20000 x 20000 pixels, of which 20000 x 64 are declared.
TEST_F(HeifLimits, LargerGridsAreRefused) {
  const std::string file =
      heif_file("avif", {{"grid", "", 20000, 64, heif_grid(1, 1, 20000, 20000), {2}},
                         {"av01", av1_config(), 64, 64, av1_picture(kSmall, kSmall), {}}});
  expect_refused(file, "");
}

TEST_F(HeifLimits, LargerTilesAreRefused) {
  const auto grid = [](CodedSize coded) {
    return heif_file("avif", {{"grid", "", 64, 64, heif_grid(1, 1, 64, 64), {2}},
                              {"av01", av1_config(), 64, 64, av1_picture(coded, coded), {}}});
  };
  EXPECT_EQ(read_error(grid(kSmall)), "");
  expect_refused(grid(kLarge), "Decoder plugin generated an error");
}

}  // namespace
}  // namespace fvlm
