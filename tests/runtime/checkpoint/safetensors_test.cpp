// safetensors: every rule of the format has files that break it, by hand, bit by bit and byte by
// byte; what the writer makes, the reader gives back.
#include "runtime/checkpoint/safetensors.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <numeric>

#include "runtime/checkpoint/safetensors_writer.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fvlm {
namespace {

std::string length_prefix(std::uint64_t length) {
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes;
}

std::string file_content(const std::string& header, const std::string& data) {
  return length_prefix(header.size()) + header + data;
}

// Bytes 0, 1, 2, ...: a tensor that is read from the wrong place shows.
std::string counting_bytes(std::size_t n) {
  std::string bytes(n, '\0');
  std::iota(bytes.begin(), bytes.end(), '\0');
  return bytes;
}

std::span<const std::byte> as_bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class SafetensorsTest : public ::testing::Test {
 protected:
  SafetensorsFile open(const std::string& content) {
    write_file(file_, content);
    return SafetensorsFile::open(file_);
  }
  std::string refusal(const std::string& content) {
    write_file(file_, content);
    return error_of([&] { SafetensorsFile::open(file_); });
  }

  TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "weights.safetensors";
};

// Three tensors stored in another order than their names', one of them empty, and metadata.
const std::string kHeader =
    R"({"__metadata__":{"format":"pt"},"b.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
    R"("a.bias":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]},)"
    R"("n":{"dtype":"I64","shape":[],"data_offsets":[32,40]},)"
    R"("empty":{"dtype":"F16","shape":[0,5],"data_offsets":[24,24]}}   )";
constexpr std::size_t kDataBytes = 40;

TEST_F(SafetensorsTest, GivesNamesTypesShapesAndBytes) {
  const SafetensorsFile file = open(file_content(kHeader, counting_bytes(kDataBytes)));
  ASSERT_EQ(file.tensors().size(), 4U);
  const TensorView* b = file.find("b.weight");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->name, "b.weight");
  EXPECT_EQ(b->file, file_.string());
  EXPECT_EQ(b->dtype, DType::kF32);
  EXPECT_EQ(b->shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(b->elements(), 6);
  EXPECT_EQ(as_text(b->data), counting_bytes(40).substr(0, 24));
  EXPECT_EQ(as_text(file.find("a.bias")->data), counting_bytes(40).substr(24, 8));
  EXPECT_EQ(file.find("n")->elements(), 1);
  EXPECT_TRUE(file.find("n")->shape.empty());
  EXPECT_EQ(file.find("empty")->elements(), 0);
  EXPECT_EQ(file.find("b.weigh"), nullptr);
  EXPECT_EQ(file.find("__metadata__"), nullptr);
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
  EXPECT_EQ(file.tensors().front().name, "b.weight");  // the order of the data
  EXPECT_EQ(file.tensors().back().name, "n");
}

TEST_F(SafetensorsTest, MetadataMayBeNull) {
  const SafetensorsFile file = open(file_content(
      R"({"__metadata__":null,"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "abcd"));
  EXPECT_EQ(as_text(file.find("a")->data), "abcd");
  EXPECT_TRUE(file.metadata().empty());
}

TEST_F(SafetensorsTest, MovingKeepsTensorsValid) {
  SafetensorsFile first = open(file_content(kHeader, counting_bytes(kDataBytes)));
  const TensorView* tensor = first.find("a.bias");
  const SafetensorsFile second = std::move(first);
  EXPECT_EQ(second.find("a.bias"), tensor);
  EXPECT_EQ(as_text(tensor->data), counting_bytes(40).substr(24, 8));
}

TEST_F(SafetensorsTest, AcceptsFilesWithoutTensors) {
  EXPECT_TRUE(open(file_content("{}", "")).tensors().empty());
}

TEST_F(SafetensorsTest, RefusesFilesThatAreNotSafetensors) {
  EXPECT_PRED2(contains, refusal(""), "weights.safetensors: not a safetensors file: 0 bytes");
  EXPECT_PRED2(contains, refusal("1234567"), "7 bytes");
  EXPECT_PRED2(contains, refusal("{\"text\": \"a JSON file\"}"), "expected at most 100000000");
  EXPECT_PRED2(contains, refusal(length_prefix(100'000'000) + "{}"), "cut short");
  EXPECT_PRED2(contains, refusal(length_prefix(100'000'001) + "{}"), "expected at most 100000000");
  EXPECT_PRED2(contains, refusal(length_prefix(~std::uint64_t{0}) + "{}"), "expected at most");
  EXPECT_PRED2(contains, refusal(length_prefix(3) + "{}"), "header of 3 bytes, but only 2");
  EXPECT_PRED2(contains, error_of([&] { SafetensorsFile::open(folder_ / "none"); }),
               "none: cannot be read: No such file");
  EXPECT_PRED2(contains, error_of([&] { SafetensorsFile::open(folder_.path()); }),
               "expected a regular file");
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);  // must not wait for a writer
  EXPECT_PRED2(contains, error_of([&] { SafetensorsFile::open(folder_ / "pipe"); }),
               "expected a regular file");
}

struct BadHeader {
  std::string header;
  std::string message;  // a part of it
};

// A tensor's entry; all of these files have 8 bytes of data.
std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}
std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"a":)" + entry(dtype, shape, offsets) + "}";
}
std::string two(const std::string& first, const std::string& second) {
  return R"({"a":)" + entry("\"F32\"", "[1]", first) + R"(,"b":)" +
         entry("\"F32\"", "[1]", second) + "}";
}

std::vector<BadHeader> bad_headers() {
  const std::string good = entry(R"("F32")", "[2]", "[0,8]");
  const std::string metadata = R"(,"a":)" + good + "}";
  return {
      // JSON
      {"", "not valid JSON"},
      {"{", "not valid JSON"},
      {R"({"a":)" + good, "not valid JSON"},
      {R"({"a":)" + good + "}}", "not valid JSON"},
      {R"({"a":)" + good + ",}", "not valid JSON"},
      {R"({"a":)" + good + "} // why", "not valid JSON"},
      {R"({'a':)" + good + "}", "not valid JSON"},
      {std::string("{\"a\":") + good + "}" + std::string(3, '\0'), "zero byte"},
      {std::string("{\"a\0\":", 6) + good + "}", "zero byte"},
      {"\xef\xbb\xbf{\"a\":" + good + "}", "byte order mark"},
      {"[]", "expected a JSON object, found array"},
      {"null", "expected a JSON object, found null"},
      {R"("a")", "expected a JSON object, found string"},
      {"{\"\xff\":" + good + "}", "not valid JSON"},
      {"{\"\xc0\x80\":" + good + "}", "not valid JSON"},       // overlong
      {"{\"\xed\xa0\x80\":" + good + "}", "not valid JSON"},   // surrogate
      {"{\"a\":" + good + "}\xe2\x80\x89", "not valid JSON"},  // a space, but not JSON's
      {R"({"a\ud800":)" + good + "}", "not valid JSON"},
      {std::string(100, '[') + std::string(100, ']'), "nested deeper"},
      {R"({"a":)" + good + R"(,"a":)" + good + "}", R"(key "a" appears twice)"},
      {R"({"a":)" + good + R"(,"\u0061":)" + good + "}", R"(key "a" appears twice)"},
      {R"({"a":{"dtype":"F16","dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
       R"(key "dtype" appears twice)"},
      {R"({"__metadata__":{"x":"1","x":"1"})" + metadata, R"(key "x" appears twice)"},
      {R"({"__metadata__":{},"__metadata__":{})" + metadata, "appears twice"},
      // metadata
      {R"({"__metadata__":[])" + metadata, "expected an object, found array"},
      {R"({"__metadata__":{"x":1})" + metadata, "expected a string, found number"},
      {R"({"__metadata__":{"x":{}})" + metadata, "expected a string, found object"},
      // entries
      {R"({"a":[]})", R"(tensor "a": expected an object of "dtype")"},
      {R"({"a":{}})", R"(tensor "a": expected an object of "dtype")"},
      {R"({"a":{"dtype":"F32","shape":[2]}})", R"(expected an object of "dtype")"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}})", "expected an object of"},
      {R"({"a":{"dtype":"F32","shape":[2],"offsets":[0,8]}})", "expected an object of"},
      {R"({"a\nb":[]})", R"(tensor "a\nb": expected)"},  // stays one line
      // types
      {one("\"F33\"", "[2]", "[0,8]"), "unknown dtype \"F33\""},
      {one("\"f32\"", "[2]", "[0,8]"), "unknown dtype \"f32\""},
      {one("\"\"", "[2]", "[0,8]"), "unknown dtype"},
      {one("\"F8_E4M3\"", "[8]", "[0,8]"), "unknown dtype"},
      {one("4", "[2]", "[0,8]"), "\"dtype\" is not a string"},
      // shapes
      {one("\"F32\"", "2", "[0,8]"), "\"shape\" is not an array"},
      {one("\"F32\"", "[-2]", "[0,8]"), "whole numbers, found \"-2\""},
      {one("\"F32\"", "[-1,-2]", "[0,8]"), "whole numbers"},
      {one("\"F32\"", "[2.0]", "[0,8]"), "whole numbers, found \"2.0\""},
      {one("\"F32\"", "[\"2\"]", "[0,8]"), "whole numbers"},
      {one("\"F32\"", "[true,2]", "[0,8]"), "whole numbers"},
      {one("\"F32\"", "[[2]]", "[0,8]"), "whole numbers"},
      {one("\"F32\"", "[9223372036854775808]", "[0,8]"), "whole numbers"},
      {one("\"F32\"", "[1e400]", "[0,8]"), "not valid JSON"},
      {one("\"F32\"", "[3]", "[0,8]"), "shape [3] of F32 needs 12 bytes, found 8"},
      {one("\"F32\"", "[1]", "[0,8]"), "needs 4 bytes, found 8"},
      {one("\"F32\"", "[0]", "[0,8]"), "needs 0 bytes, found 8"},
      // 2^62 * 4 and 2^32 * 2^32 * ... wrap around to the right number of bytes
      {one("\"F32\"", "[4611686018427387904]", "[0,0]"), "needs too many bytes"},
      {one("\"F32\"", "[4294967296,4294967296]", "[0,0]"), "needs too many bytes"},
      {one("\"U8\"", "[8,2305843009213693953]", "[0,8]"), "needs too many bytes"},
      {one("\"F32\"", "[0,4294967296,4294967296]", "[0,0]"), "needs too many bytes"},
      // ranges
      {one("\"F32\"", "[2]", "8"), "array of two numbers"},
      {one("\"F32\"", "[2]", "[0]"), "array of two numbers"},
      {one("\"F32\"", "[2]", "[0,8,8]"), "array of two numbers"},
      {one("\"F32\"", "[2]", "[-8,0]"), "whole numbers"},
      {one("\"F32\"", "[2]", "[0,8.0]"), "whole numbers"},
      {one("\"F32\"", "[2]", "[8,0]"), "before it begins"},
      {one("\"F32\"", "[2]", "[8,16]"), "after a gap"},
      {one("\"F32\"", "[4]", "[0,16]"), "cut short: tensor \"a\" ends at 16 of 8"},
      {one("\"F32\"", "[1]", "[0,4]"), "8 bytes of data, but its tensors end at 4"},
      {one("\"F32\"", "[1]", "[4,8]"), "after a gap"},
      {one("\"F32\"", "[2]", "[18446744073709551608,18446744073709551616]"), "whole numbers"},
      {two("[0,4]", "[0,4]"), "inside another tensor"},
      {two("[0,4]", "[2,6]"), "inside another tensor"},
      {two("[0,4]", "[5,9]"), "after a gap"},
      {two("[4,8]", "[4,8]"), "after a gap"},
      {R"({"a":)" + good + R"(,"b":)" + entry("\"F32\"", "[0]", "[4,4]") + "}",
       "inside another tensor"},
      {R"({"a":)" + good + R"(,"b":)" + entry("\"F32\"", "[0]", "[9,9]") + "}", "after a gap"},
      {"{}", "8 bytes of data, but its tensors end at 0"},
  };
}

TEST_F(SafetensorsTest, RefusesBadHeaders) {
  const auto headers = bad_headers();
  EXPECT_GE(headers.size(), 40U);
  for (const BadHeader& bad : headers) {
    SCOPED_TRACE(bad.header);
    const std::string message = refusal(file_content(bad.header, counting_bytes(8)));
    EXPECT_PRED2(contains, message, bad.message);
    EXPECT_TRUE(message.starts_with(file_.string())) << message;
  }
  // The same helpers make a good file.
  EXPECT_NO_THROW(open(file_content(two("[4,8]", "[0,4]"), counting_bytes(8))));
}

TEST_F(SafetensorsTest, RefusesHeadersThatCostFarMoreMemoryThanTheirSize) {
  std::string many = "{\"a\":[0";
  for (int i = 0; i < 2'000'000; ++i) many += ",0";
  EXPECT_PRED2(contains, refusal(file_content(many + "]}", "")), "more than 2000000 JSON values");
  const std::string deep(1'000'000, '[');
  EXPECT_PRED2(contains, refusal(file_content("{\"a\":" + deep, "")), "deeper than 32 levels");
}

TEST_F(SafetensorsTest, RefusesEveryTruncationAndAnyExtraByte) {
  const std::string whole = file_content(kHeader, counting_bytes(kDataBytes));
  ASSERT_NO_THROW(open(whole));
  for (std::size_t length = 0; length < whole.size(); ++length) {
    SCOPED_TRACE(length);
    refusal(whole.substr(0, length));
  }
  EXPECT_PRED2(contains, refusal(whole + "x"), "41 bytes of data, but its tensors end at 40");
}

// How a damaged file differs from the original for a reader that knows the original's names.
struct Differences {
  int missing = 0;  // no tensor has this name now
  int changed = 0;  // other bytes, type or shape
};

Differences compare(const SafetensorsFile& file, const SafetensorsFile& original) {
  Differences differences;
  for (const TensorView& tensor : original.tensors()) {
    const TensorView* found = file.find(tensor.name);
    if (found == nullptr) {
      ++differences.missing;
    } else if (found->dtype != tensor.dtype || found->shape != tensor.shape ||
               !std::ranges::equal(found->data, tensor.data)) {
      ++differences.changed;
      // A tensor without bytes can get another shape without bytes, which `require` refuses.
      EXPECT_TRUE(tensor.data.empty() && found->data.empty() && found->shape != tensor.shape)
          << tensor.name;
    }
  }
  return differences;
}

TEST_F(SafetensorsTest, NoFlippedHeaderBitIsReadAsOtherData) {
  const std::string whole = file_content(kHeader, counting_bytes(kDataBytes));
  const SafetensorsFile original = open(whole);
  const auto flipped_file = folder_ / "flipped.safetensors";
  int refused = 0;
  int renamed = 0;   // one tensor has another name, which whoever asks for it notices
  int reshaped = 0;  // the empty tensor
  int harmless = 0;  // in the metadata or the padding
  const std::size_t header_bits = (whole.size() - kDataBytes) * 8;
  for (std::size_t bit = 0; bit < header_bits; ++bit) {
    SCOPED_TRACE(bit);
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    write_file(flipped_file, flipped);
    try {
      const Differences found = compare(SafetensorsFile::open(flipped_file), original);
      EXPECT_LE(found.missing + found.changed, 1);
      renamed += found.missing;
      reshaped += found.changed;
      harmless += 1 - found.missing - found.changed;
    } catch (const Error& error) {
      EXPECT_TRUE(std::string(error.what()).starts_with(flipped_file.string())) << error.what();
      ++refused;
    }
  }
  std::printf(
      "%zu header bits: %d flips refused, %d rename, %d reshape an empty tensor, %d harmless\n",
      header_bits, refused, renamed, reshaped, harmless);
  EXPECT_GE(refused, static_cast<int>(header_bits) * 9 / 10);
}

template <class Stored>
std::vector<float> converted(DType dtype, const std::vector<Stored>& stored) {
  const auto bytes = std::as_bytes(std::span(stored));
  // One byte off any alignment, as files may store it.
  std::vector<std::byte> shifted(bytes.size() + 1);
  std::ranges::copy(bytes, shifted.begin() + 1);
  const TensorView tensor{"t",
                          dtype,
                          {static_cast<std::int64_t>(stored.size())},
                          std::span(shifted).subspan(1),
                          "file"};
  std::vector<float> out(stored.size());
  copy_as_float(tensor, out);
  return out;
}

TEST(CopyAsFloat, ConvertsEveryHalf) {
  std::vector<std::uint16_t> all(1 << 16);
  std::iota(all.begin(), all.end(), std::uint16_t{0});
  const std::vector<float> values = converted(DType::kF16, all);
  for (std::size_t bits = 0; bits < all.size(); ++bits) {
    const int exponent = static_cast<int>(bits >> 10 & 31);
    const double fraction = static_cast<double>(bits & 1023);
    const double sign = (bits & 0x8000) != 0 ? -1 : 1;
    SCOPED_TRACE(bits);
    if (exponent == 31 && fraction != 0) {
      ASSERT_TRUE(std::isnan(values[bits]));
    } else if (exponent == 31) {
      ASSERT_EQ(values[bits], sign * std::numeric_limits<double>::infinity());
    } else {
      const double expected =
          exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
      ASSERT_EQ(double{values[bits]}, sign * expected);
      ASSERT_EQ(std::signbit(values[bits]), sign < 0);  // minus zero too
    }
  }
}

TEST(CopyAsFloat, ConvertsEveryBFloat16) {
  std::vector<std::uint16_t> all(1 << 16);
  std::iota(all.begin(), all.end(), std::uint16_t{0});
  const std::vector<float> values = converted(DType::kBF16, all);
  for (std::size_t bits = 0; bits < all.size(); ++bits) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(values[bits]), static_cast<std::uint32_t>(bits) << 16);
  }
  EXPECT_EQ(values[0x3f80], 1.0F);
  EXPECT_EQ(values[0x0001], std::ldexp(1.0F, -133));  // smallest subnormal
  EXPECT_TRUE(std::isinf(values[0x7f80]));
  EXPECT_TRUE(std::isnan(values[0x7fc0]));
}

TEST(CopyAsFloat, KeepsFloatsAndRoundsDoubles) {
  const std::vector<float> floats = {0.0F, -1.5F, 1e-45F, 3.4e38F};
  EXPECT_EQ(converted(DType::kF32, floats), floats);
  EXPECT_EQ(converted(DType::kF64, std::vector<double>{0.1, -2.0, 1.0 + 0x1p-25}),
            (std::vector<float>{0.1F, -2.0F, 1.0F}));
}

TEST(CopyAsFloat, RefusesIntegersAndWrongSizes) {
  EXPECT_PRED2(contains, error_of([] { converted(DType::kI32, std::vector<std::int32_t>{1}); }),
               "file: tensor \"t\": expected floating-point numbers, found I32");
  const std::array<std::byte, 8> data{};
  const TensorView tensor{"t", DType::kF32, {2}, data, "file"};
  std::array<float, 3> out{};
  EXPECT_PRED2(contains, error_of([&] { copy_as_float(tensor, out); }),
               "2 elements do not fit a buffer of 3");
}

class SafetensorsWriterTest : public SafetensorsTest {
 protected:
  bool partial_exists() { return std::filesystem::exists(file_.string() + ".partial"); }
};

TEST_F(SafetensorsWriterTest, RoundTrip) {
  const std::string x = counting_bytes(24);
  const std::string y = "two numbers.....";
  {
    SafetensorsWriter writer(file_,
                             {{"z.x", DType::kF32, {2, 3}},
                              {"nothing", DType::kBF16, {3, 0}},
                              {"a \"quoted\" name, \xe4\xb8\xad", DType::kF64, {2, 1, 1}},
                              {"nothing at the end", DType::kF32, {0}}},
                             {{"format", "pt"}, {"made by", "a test"}});
    for (const char c : x) writer.write(as_bytes(std::string(1, c)));  // in pieces
    writer.write({});
    writer.write(as_bytes(y));
    EXPECT_FALSE(std::filesystem::exists(file_));
    EXPECT_TRUE(partial_exists());
    writer.finish();
  }
  EXPECT_FALSE(partial_exists());
  const SafetensorsFile file = SafetensorsFile::open(file_);
  ASSERT_EQ(file.tensors().size(), 4U);
  EXPECT_EQ(as_text(file.find("z.x")->data), x);
  EXPECT_EQ(file.find("z.x")->shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(as_text(file.find("a \"quoted\" name, \xe4\xb8\xad")->data), y);
  EXPECT_EQ(file.find("nothing")->shape, (std::vector<std::int64_t>{3, 0}));
  EXPECT_EQ(file.metadata().at("made by"), "a test");
  // Data begins at a multiple of 8, so the first tensor is aligned for every type.
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(file.find("z.x")->data.data()) % 8, 0U);
}

TEST_F(SafetensorsWriterTest, LeavesTheOldFileUntilFinished) {
  write_file(file_, "old");
  {
    SafetensorsWriter writer(file_, {{"a", DType::kU8, {4}}});
    writer.write(as_bytes("ab"));
    EXPECT_PRED2(contains, error_of([&] { writer.finish(); }),
                 "tensor \"a\": 2 bytes were not written");
  }
  EXPECT_EQ(read_file(file_), "old");
  EXPECT_FALSE(partial_exists());
  SafetensorsWriter writer(file_, {{"a", DType::kU8, {4}}});
  writer.write(as_bytes("abcd"));
  EXPECT_EQ(read_file(file_), "old");
  writer.finish();
  EXPECT_EQ(as_text(SafetensorsFile::open(file_).find("a")->data), "abcd");
}

TEST_F(SafetensorsWriterTest, RefusesBytesBeyondATensor) {
  SafetensorsWriter writer(file_, {{"a", DType::kU8, {3}}, {"b", DType::kU8, {3}}});
  EXPECT_PRED2(contains, error_of([&] { writer.write(as_bytes("abcd")); }),
               "tensor \"a\": 4 bytes written, but its shape has only 3 left");
  writer.write(as_bytes("abc"));
  writer.write(as_bytes("def"));
  EXPECT_PRED2(contains, error_of([&] { writer.write(as_bytes("g")); }), "after the last tensor");
  writer.finish();
  EXPECT_EQ(as_text(SafetensorsFile::open(file_).find("b")->data), "def");
}

TEST_F(SafetensorsWriterTest, RefusesImpossibleTensorsBeforeWriting) {
  const auto refused = [&](const std::vector<TensorHeader>& tensors) {
    const std::string message = error_of([&] { SafetensorsWriter(file_, tensors); });
    EXPECT_FALSE(partial_exists());
    return message;
  };
  const std::int64_t huge = std::int64_t{1} << 62;
  EXPECT_PRED2(contains, refused({{"a", DType::kF32, {-1}}}), "shape [-1] is not possible");
  EXPECT_PRED2(contains, refused({{"a", DType::kF32, {huge, 2}}}), "is not possible");
  EXPECT_PRED2(contains, refused({{"a", DType::kU8, {huge}}, {"b", DType::kU8, {huge}}}),
               "tensor \"b\"");
  EXPECT_PRED2(contains, refused({{"a", DType::kU8, {1}}, {"a", DType::kU8, {1}}}), "is taken");
  EXPECT_PRED2(contains, refused({{"__metadata__", DType::kU8, {1}}}), "is taken");
  EXPECT_PRED2(contains, refused({{"\xff", DType::kU8, {1}}}), "not valid UTF-8");
  const auto nowhere = folder_ / "no" / "file";
  EXPECT_PRED2(contains, error_of([&] { SafetensorsWriter(nowhere, {}); }),
               "file.partial: cannot be written: No such file");
}

TEST_F(SafetensorsTest, ReleasedPagesStayReadable) {
  const std::string data = counting_bytes(5 << 20);
  const SafetensorsFile file =
      open(file_content(one("\"U8\"", "[" + std::to_string(data.size()) + "]",
                            "[0," + std::to_string(data.size()) + "]"),
                        data));
  const auto bytes = file.find("a")->data;
  file.file().release(bytes);
  EXPECT_EQ(as_text(bytes), data);
  file.file().release(bytes.subspan(1, 10));  // less than a page
  file.file().release({});
  EXPECT_EQ(as_text(bytes), data);
}

}  // namespace
}  // namespace fvlm
