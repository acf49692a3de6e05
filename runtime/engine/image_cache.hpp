// Which images' embeddings a runner keeps, and where: of images that requests show again, in a
// conversation, for another question or on a retry, the encoder need not run again. The least
// recently used makes room. Which is which says the keyed hash of their pixels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <list>

#include "fvlm/core/hash.hpp"

namespace fvlm {

class ImageCache {
 public:
  // `places` is how many images the runner can keep.
  explicit ImageCache(std::int64_t places) : places_(places) {}

  // Where an image is, or -1; it becomes the most recently used.
  std::int64_t find(const Hash128& image) {
    const auto found = entry_of(image);
    if (found == entries_.end()) return -1;
    entries_.splice(entries_.begin(), entries_, found);
    return found->place;
  }

  // Whether an image is there; nothing becomes the most recently used.
  bool contains(const Hash128& image) const {
    return std::ranges::find(entries_, image, &Entry::image) != entries_.end();
  }

  // A place for an image that is not kept yet, or -1 if the cache has none.
  std::int64_t add(const Hash128& image) {
    if (places_ == 0) return -1;
    std::int64_t place = std::ssize(entries_);
    if (place == places_) {
      place = entries_.back().place;
      entries_.pop_back();
    }
    entries_.push_front({image, place});
    return place;
  }

  // Nothing is kept any more.
  void clear() { entries_.clear(); }

 private:
  struct Entry {
    Hash128 image;
    std::int64_t place;
  };

  std::list<Entry>::iterator entry_of(const Hash128& image) {
    return std::ranges::find(entries_, image, &Entry::image);
  }

  std::int64_t places_;
  std::list<Entry> entries_;  // most recently used first
};

}  // namespace fvlm
