// The hash that names images in the prefix cache: the reference code's test vectors, and that no
// client can know what two processes make of the same bytes.
#include "runtime/support/keyed_hash.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "runtime/engine/generation.hpp"

namespace fvlm {
namespace {

constexpr HashKey kReferenceKey = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

// 0, 1, 2 ...
std::vector<std::uint8_t> counted(std::size_t size) {
  std::vector<std::uint8_t> bytes(size);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
  return bytes;
}

// The 16 bytes in the reference's order.
std::string hex(const Hash128& hash) {
  std::string text;
  for (const std::uint64_t word : {hash.low, hash.high}) {
    for (int i = 0; i < 8; ++i) text += fmt::format("{:02x}", word >> (8 * i) & 0xff);
  }
  return text;
}

TEST(KeyedHash, IsTheReferencesAtEveryPhaseOfAWord) {
  for (const auto& [size, expected] : {std::pair(0, "a3817f04ba25a8e66df67214c7550293"),
                                       {1, "da87c1d86b99af44347659119b22fc45"},
                                       {2, "8177228da4a45dc7fca38bdef60affe4"},
                                       {7, "a1f1ebbed8dbc153c0b84aa61ff08239"},
                                       {8, "3b62a9ba6258f5610f83e264f31497b4"},
                                       {9, "264499060ad9baabc47f8b02bb6d71ed"},
                                       {15, "5493e99933b0a8117e08ec0f97cfc3d9"},
                                       {16, "6ee2a4ca67b054bbfd3315bf85230577"},
                                       {63, "5150d1772f50834a503e069a973fbd7c"}}) {
    EXPECT_EQ(hex(keyed_hash(counted(static_cast<std::size_t>(size)), kReferenceKey)), expected)
        << size;
  }
}

TEST(KeyedHash, EveryBitOfTheKeyAndOfTheBytesCounts) {
  std::vector<std::uint8_t> bytes = counted(24);
  std::set<std::string> seen = {hex(keyed_hash(bytes, kReferenceKey))};
  for (int bit = 0; bit < 64; ++bit) {
    HashKey key = kReferenceKey;
    key.first ^= std::uint64_t{1} << bit;
    seen.insert(hex(keyed_hash(bytes, key)));
    std::swap(key.first, key.second);
    seen.insert(hex(keyed_hash(bytes, key)));
  }
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
    seen.insert(hex(keyed_hash(bytes, kReferenceKey)));
    bytes[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
  }
  EXPECT_EQ(seen.size(), 1U + 2 * 64 + 8 * 24);
}

TEST(KeyedHash, TheSecretIsOfThisProcessOnly) {
  constexpr const char* kOther = "FVLM_TEST_SECRET_HASH";  // of the process that started this one
  const std::string own = hex(secret_hash(counted(8)));
  EXPECT_EQ(hex(secret_hash(counted(8))), own);
  ::setenv(kOther, own.c_str(), 0);
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // the statement runs in the program, begun anew
  EXPECT_EXIT(std::_Exit(own == std::getenv(kOther) ? 1 : 0), testing::ExitedWithCode(0), "");
}

TEST(PositionKeys, PlacesOfImagesEqualNeitherTokensNorOneAnother) {
  const Hash128 image = {0, 151643};  // at its worst
  EXPECT_NE(image_key(image, 0), token_key(151643));
  EXPECT_NE(image_key(image, 1), image_key(image, 0));
  EXPECT_EQ(image_key(image, 1), image_key({0, 151643}, 1));
  // 64 bits that agree are not enough.
  EXPECT_NE(image_key({1, 7}, 0), image_key({2, 7}, 0));
  EXPECT_NE(image_key({1, 7}, 0), image_key({1, 8}, 0));
  EXPECT_NE(token_key(1), token_key(2));
}

}  // namespace
}  // namespace fvlm
