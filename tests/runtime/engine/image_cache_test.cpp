#include "runtime/engine/image_cache.hpp"

#include <gtest/gtest.h>

namespace fvlm {
namespace {

Hash128 image(std::uint64_t number) {
  return {number, 7};
}

TEST(ImageCache, FindsWhatWasAdded) {
  ImageCache cache(3);
  EXPECT_EQ(cache.find(image(1)), -1);
  const std::int64_t one = cache.add(image(1));
  const std::int64_t two = cache.add(image(2));
  EXPECT_NE(one, two);
  EXPECT_EQ(cache.find(image(1)), one);
  EXPECT_EQ(cache.find(image(2)), two);
  EXPECT_EQ(cache.find({1, 8}), -1);
}

TEST(ImageCache, TheLeastRecentlyUsedMakesRoom) {
  ImageCache cache(2);
  const std::int64_t one = cache.add(image(1));
  const std::int64_t two = cache.add(image(2));
  EXPECT_EQ(cache.find(image(1)), one);
  EXPECT_EQ(cache.add(image(3)), two);
  EXPECT_EQ(cache.find(image(2)), -1);
  EXPECT_EQ(cache.find(image(1)), one);
  EXPECT_EQ(cache.find(image(3)), two);
}

TEST(ImageCache, PlacesAreWithinItsSize) {
  ImageCache cache(4);
  for (std::uint64_t i = 0; i < 20; ++i) {
    const std::int64_t place = cache.add(image(i));
    EXPECT_GE(place, 0);
    EXPECT_LT(place, 4);
  }
  cache.clear();
  EXPECT_EQ(cache.find(image(19)), -1);
  EXPECT_EQ(cache.add(image(1)), 0);
}

TEST(ImageCache, MayHaveNoPlace) {
  ImageCache cache(0);
  EXPECT_EQ(cache.add(image(1)), -1);
  EXPECT_EQ(cache.find(image(1)), -1);
}

}  // namespace
}  // namespace fvlm
