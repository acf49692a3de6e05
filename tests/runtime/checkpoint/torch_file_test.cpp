// Files of torch.save: equal to the safetensors of the same weights; damaged and hostile archives
// are refused.
#include "runtime/checkpoint/torch_file.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "runtime/checkpoint/safetensors.hpp"
#include "tests/runtime/checkpoint/torch_bytes.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fvlm {
namespace {

using namespace program;

const std::filesystem::path kGolden = std::filesystem::path(FVLM_TEST_DATA) / "golden";

std::string floats(const std::vector<float>& values) {
  std::string bytes(values.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

std::vector<float> values_of(const TensorView& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  copy_as_float(tensor, values);
  return values;
}

class TorchFileTest : public ::testing::Test {
 protected:
  TorchFile open(const std::string& bytes) {
    write_file(folder_ / "weights.bin", bytes);
    return TorchFile(folder_ / "weights.bin");
  }
  // The message for a file that is refused when it is opened or when its numbers are read.
  std::string refusal(const std::string& bytes) {
    return error_of([&] {
      const TorchFile file = open(bytes);
      for (const TensorView& tensor : file.tensors()) file.check_sum(tensor);
    });
  }

  TemporaryFolder folder_;
};

// What PyTorch wrote, in both formats, holds the numbers of the golden checkpoint.
TEST_F(TorchFileTest, EqualsSafetensors) {
  const auto expected =
      SafetensorsFile::open(kGolden / "tiny" / "checkpoint" / "model.safetensors");
  for (const char* name : {"single_bf16", "legacy_f32"}) {
    const TorchFile file(kGolden / "torch_bin" / name / "pytorch_model.bin");
    int compared = 0;
    for (const TensorView& tensor : file.tensors()) {
      file.check_sum(tensor);
      const TensorView* same = expected.find(tensor.name);
      if (same == nullptr) continue;
      EXPECT_EQ(tensor.shape, same->shape) << tensor.name;
      EXPECT_EQ(values_of(tensor), values_of(*same)) << tensor.name;
      ++compared;
    }
    EXPECT_GT(compared, 100) << name;
  }
}

// The legacy file's two views that are not contiguous, against what they are views of.
TEST_F(TorchFileTest, CopiesViewsThatAreNotContiguous) {
  const TorchFile file = open(torch_archive(
      dictionary({{"whole", tensor(storage("FloatStorage", "0", 6), 0, {2, 3}, {3, 1})},
                  {"transposed", tensor(storage("FloatStorage", "0", 6), 0, {3, 2}, {1, 3})},
                  {"column", tensor(storage("FloatStorage", "0", 6), 1, {2, 1}, {3, 1})},
                  {"row", tensor(storage("FloatStorage", "0", 6), 3, {3}, {1})},
                  {"number", tensor(storage("FloatStorage", "0", 6), 4, {}, {})},
                  {"nothing", tensor(storage("FloatStorage", "0", 6), 0, {0, 5}, {5, 1})}}),
      {{"0", floats({1, 2, 3, 4, 5, 6})}}));
  const auto& tensors = file.tensors();
  ASSERT_EQ(tensors.size(), 6U);
  EXPECT_EQ(values_of(tensors[0]), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(values_of(tensors[1]), (std::vector<float>{1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(values_of(tensors[2]), (std::vector<float>{2, 5}));
  EXPECT_EQ(values_of(tensors[3]), (std::vector<float>{4, 5, 6}));
  EXPECT_EQ(values_of(tensors[4]), (std::vector<float>{5}));
  EXPECT_TRUE(values_of(tensors[5]).empty());
}

TEST_F(TorchFileTest, FindsFlippedAndMissingBytes) {
  const std::string pickle =
      dictionary({{"a", tensor(storage("FloatStorage", "0", 2), 0, {2}, {1})}});
  const std::vector<ZipFile> good = {{"0", floats({1, 2})}};
  std::string flipped = torch_archive(pickle, good);
  EXPECT_NO_THROW(open(flipped));
  const std::size_t number = flipped.find(floats({1, 2}));
  flipped[number] = static_cast<char>(flipped[number] ^ 1);
  EXPECT_NE(refusal(flipped).find("checksum"), std::string::npos);
  const std::string whole = torch_archive(pickle, good);
  for (std::size_t length = 0; length < whole.size(); ++length) refusal(whole.substr(0, length));
}

TEST_F(TorchFileTest, RefusesArchivesThatDoNotMatchTheirPickle) {
  const std::string pickle =
      dictionary({{"a", tensor(storage("FloatStorage", "0", 2), 0, {2}, {1})}});
  const auto has = [&](const std::string& bytes, const std::string& part) {
    const std::string message = refusal(bytes);
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  has(torch_archive(pickle, {}), "archive/data/0\" is missing");
  has(torch_archive(pickle, {{"0", floats({1})}}), "its storage has 4 bytes");
  has(torch_archive(pickle, {{"0", floats({1, 2, 3})}}), "its storage has 12 bytes");
  has(zip_archive({{"other", "x"}}), "expected one data.pkl");
  has(zip_archive({{"a/data.pkl", pickle}, {"b/data.pkl", pickle}}), "expected one data.pkl");
  has(zip_archive({{"a/byteorder", "big"}, {"a/data.pkl", pickle}, {"a/data/0", floats({1, 2})}}),
      "not little-endian");
  has(torch_archive(kProto + "]" + kStop, {}), "not a dictionary");
  has(torch_archive(dictionary({{"a", "N"}}), {}), "\"a\" is not a tensor");
  has(torch_archive(kProto + "}NNs.", {}), "whose name is not a text");
  const std::string one = tensor(storage("FloatStorage", "0", 2), 0, {2}, {1});
  has(torch_archive(dictionary({{"a", one}, {"a", one}}), {{"0", floats({1, 2})}}), "there twice");
  has("neither one nor the other", "neither a zip archive");
  has("", "neither a zip archive");
}

TEST_F(TorchFileTest, RefusesMoreCopiesThanBytes) {
  std::vector<std::pair<std::string, std::string>> views;
  for (int i = 0; i < 100; ++i) {
    views.emplace_back(std::to_string(i),
                       tensor(storage("FloatStorage", "0", 4096), 0, {64, 64}, {1, 64}));
  }
  EXPECT_NE(refusal(torch_archive(dictionary(views), {{"0", std::string(16384, 'x')}}))
                .find("not contiguous"),
            std::string::npos);
}

// The format before 1.6 -------------------------------------------------------------------------
std::string legacy(const std::string& dictionary_program, const std::string& keys,
                   const std::string& numbers, const std::string& system = "\x88") {
  return std::string("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e", 15) + kProto +
         "M\xe9\x03." + kProto + "}" + text("little_endian") + system + "s." + dictionary_program +
         kProto + "](" + keys + "e." + numbers;
}

TEST_F(TorchFileTest, ReadsTheOlderFormat) {
  const std::string pickle =
      dictionary({{"a", tensor(storage("FloatStorage", "k", 2), 0, {2}, {1})}});
  const std::string numbers = little_endian(2, 8) + floats({3, 4});
  const TorchFile file = open(legacy(pickle, text("k"), numbers));
  EXPECT_EQ(values_of(file.tensors().at(0)), (std::vector<float>{3, 4}));
  const auto has = [&](const std::string& bytes, const std::string& part) {
    const std::string message = refusal(bytes);
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  has(legacy(pickle, text("k"), numbers, "\x89"), "not little-endian");
  has(legacy(pickle, text("k"), numbers + "x"), "1 bytes after the last storage");
  has(legacy(pickle, text("k"), little_endian(2, 8)), "cut short");
  has(legacy(pickle, text("k"), ""), "cut short");
  has(legacy(pickle, text("k"), little_endian(1ULL << 62, 8) + floats({3, 4})), "expected 2");
  has(legacy(pickle, "", ""), "its storage is missing");
  has(legacy(pickle, text("j"), numbers), "no tensor has");
  has(legacy(pickle, text("k") + text("k"), numbers + numbers), "no tensor has");
  has(legacy(dictionary({{"a", tensor(storage("FloatStorage", "k", 2), 0, {2}, {1})},
                         {"b", tensor(storage("FloatStorage", "k", 3), 0, {2}, {1})}}),
             text("k"), numbers),
      "two sizes");
  const std::string whole = legacy(pickle, text("k"), numbers);
  for (std::size_t length = 0; length < whole.size(); ++length) refusal(whole.substr(0, length));
}

// Archives --------------------------------------------------------------------------------------
struct HostileZip {
  const char* name;
  std::string bytes;
};
void PrintTo(const HostileZip& hostile, std::ostream* out) {
  *out << hostile.name;
}

std::vector<HostileZip> hostile_zips() {
  const std::string pickle =
      dictionary({{"a", tensor(storage("ByteStorage", "0", 8), 0, {8}, {1})}});
  const std::vector<ZipFile> files = {{"a/data.pkl", pickle}, {"a/data/0", "12345678"}};
  const auto tricked = [&](const ZipTricks& tricks) { return zip_archive(files, tricks); };
  const auto named = [&](const std::string& name) {
    return zip_archive({{"a/data.pkl", pickle}, {"a/data/0", "12345678"}, {name, "x"}});
  };
  // A file inside another one's bytes: the directory lists both.
  const std::string inner = zip_archive({{"a/data/0", "12345678"}});
  const std::string inner_file = inner.substr(0, inner.find("PK\x01\x02"));
  const std::string good = tricked({});
  std::string no_end = good;
  no_end[no_end.size() - 22] = 'X';
  std::string two_ends = good + good.substr(good.size() - 22);
  std::string many_entries = good;
  many_entries.replace(good.size() - 12, 2, "\xff\xff");
  std::string long_name = good;
  long_name[good.find("PK\x01\x02") + 29] = '\xff';
  std::string long_extra = good;
  long_extra[good.find("PK\x01\x02") + 31] = '\xff';
  std::string long_local = good;
  long_local[27] = '\xff';
  std::string bomb64 =
      good.substr(0, good.size() - 22) + "PK\x06\x06" + little_endian(44, 8) +
      little_endian(0, 12) + little_endian(1ULL << 40, 8) + little_endian(1ULL << 40, 8) +
      little_endian(1ULL << 50, 8) + little_endian(0, 8) + "PK\x06\x07" + little_endian(0, 4) +
      little_endian(good.size() - 22, 8) + little_endian(1, 4) + good.substr(good.size() - 22);
  std::string locator_far = good.substr(0, good.size() - 22) + "PK\x06\x07" + little_endian(0, 4) +
                            little_endian(1ULL << 60, 8) + little_endian(1, 4) +
                            good.substr(good.size() - 22);
  return {
      {"Encrypted", tricked({.flags = 1})},
      {"StrongEncryption", tricked({.flags = 0x41})},
      {"Deflated", tricked({.method = 8})},
      {"Bzip2", tricked({.method = 12})},
      {"Lzma", tricked({.method = 14})},
      {"Zstandard", tricked({.method = 93})},
      {"UnknownMethod", tricked({.method = 0xfff0})},
      {"WrongChecksum", tricked({.crc_xor = 1})},
      {"WrongChecksumHigh", tricked({.crc_xor = 0x80000000})},
      {"LongerThanItIs", tricked({.size_add = 8})},
      {"ShorterThanItIs", tricked({.size_add = -1})},
      {"LongerThanTheFile", tricked({.size_add = 1 << 30})},
      {"NegativeSize", tricked({.size_add = -9})},
      {"SizeInDirectoryLonger", tricked({.directory_size_add = 4})},
      {"SizeInDirectoryShorter", tricked({.directory_size_add = -4})},
      {"NameInHeaderDiffers", tricked({.local_name = "a/data/1"})},
      {"NameInHeaderLonger", tricked({.local_name = "a/data/0 and more"})},
      {"OffsetOfFirstFile", tricked({.last_offset = 0})},
      {"OffsetInsideFirstFile", tricked({.last_offset = 40})},
      {"OffsetBeyondEnd", tricked({.last_offset = 1 << 30})},
      {"OffsetMax", tricked({.last_offset = 0xffffffff})},
      {"FewerEntries", tricked({.entries_add = -1})},
      {"MoreEntries", tricked({.entries_add = 1})},
      {"NoEntries", tricked({.entries_add = -2})},
      {"DirectoryEarlier", tricked({.directory_add = -1})},
      {"DirectoryLater", tricked({.directory_add = 1})},
      {"DirectoryBeyondEnd", tricked({.directory_add = 1 << 30})},
      {"BytesAfterDirectory", tricked({.after_directory = "hidden"})},
      {"BytesAtEnd", tricked({.at_end = "hidden"})},
      {"Comment", tricked({.comment = "PK\x05\x06"})},
      {"NoEnd", no_end},
      {"TwoEnds", two_ends},
      {"EndAlone", good.substr(good.size() - 22)},
      {"HeaderAlone", good.substr(0, 30)},
      {"ManyEntries", many_entries},
      {"NameReachesBeyond", long_name},
      {"ExtraReachesBeyond", long_extra},
      {"LocalNameReachesBeyond", long_local},
      {"Zip64Bomb", bomb64},
      {"Zip64LocatorBeyond", locator_far},
      {"NameTwice", named("a/data/0")},
      {"PickleTwice", named("a/data.pkl")},
      {"NameUp", named("../../etc/passwd")},
      {"NameUpInside", named("a/../b")},
      {"NameAbsolute", named("/etc/passwd")},
      {"NameOfWindows", named("c:\\windows")},
      {"NameBackslash", named("a\\b")},
      {"NameEmpty", named("")},
      {"NameWithNewline", named("a\nb")},
      {"NameWithEscape", named("a\x1b[2J")},
      {"NameWithNul", named(std::string("a/data/0\0x", 10))},
      {"FileInsideAnother",
       zip_archive({{"a/data.pkl", pickle}, {"a/outer", inner_file}, {"a/data/0", "12345678"}},
                   {.last_offset = static_cast<std::int64_t>(30 + 10 + pickle.size() + 30 + 7)})},
  };
}

class HostileArchive : public testing::TestWithParam<HostileZip> {};

TEST_P(HostileArchive, IsRefused) {
  const TemporaryFolder folder;
  write_file(folder / "hostile.bin", GetParam().bytes);
  const std::string message = error_of([&] {
    const TorchFile file(folder / "hostile.bin");
    for (const TensorView& tensor : file.tensors()) file.check_sum(tensor);
  });
  EXPECT_NE(message.find("hostile.bin"), std::string::npos) << message;
}

INSTANTIATE_TEST_SUITE_P(Zips, HostileArchive, testing::ValuesIn(hostile_zips()),
                         [](const auto& hostile) { return hostile.param.name; });

}  // namespace
}  // namespace fvlm
