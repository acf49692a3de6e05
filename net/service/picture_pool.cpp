#include "net/service/picture_pool.hpp"

#include <cstdint>
#include <span>
#include <utility>

namespace fvlm::net {
namespace {

// More pixels than a camera's frame has; decoding takes longer than a frame interval.
constexpr std::int64_t kLargePixels = 12'000'000;
constexpr int kNiceness = 10;  // of the thread for large pictures

// Memory that counts against a budget while it is in use.
Pixels counted(Pixels pixels, MemoryBudget::Lease lease) {
  std::uint8_t* const data = pixels.get();
  return Pixels(data, [pixels = std::move(pixels), lease = std::move(lease)](std::uint8_t*) {});
}

}  // namespace

struct PicturePool::Job {
  std::vector<std::string> files;
  std::function<void(Prepared)> done;
  std::vector<std::unique_ptr<ImageReader>> readers{};
};

PicturePool::PicturePool(Engine& engine, const PicturePoolOptions& options)
    : engine_(engine),
      options_(options.image),
      budget_(options.max_bytes),
      workers_(options.threads),
      large_(1, kNiceness) {}

void PicturePool::prepare(std::vector<std::string> files, std::function<void(Prepared)> done) {
  workers_.put([this, job = std::make_shared<Job>(Job{std::move(files), std::move(done)})] {
    try {
      open(job);
    } catch (...) {
      job->done(std::current_exception());
    }
  });
}

void PicturePool::stop() {
  workers_.stop();
  large_.stop();
}

// Reads the headers, and hands large images to the other thread.
void PicturePool::open(const std::shared_ptr<Job>& job) {
  std::int64_t pixels = 0;
  for (const std::string& file : job->files) {
    const ImageReader& reader = *job->readers.emplace_back(
        open_image(std::as_bytes(std::span(file)), "the picture", options_));
    pixels += reader.info().width * reader.info().height;
  }
  if (pixels <= kLargePixels) return decode(*job);
  large_.put([this, job] {
    try {
      decode(*job);
    } catch (...) {
      job->done(std::current_exception());
    }
  });
}

void PicturePool::decode(Job& job) {
  const auto take = [this](std::size_t bytes) {
    MemoryBudget::Lease lease = budget_.take(bytes);
    if (!lease) throw Busy("too many images are queued");
    return lease;
  };
  const auto side = static_cast<std::size_t>(engine_.info().image_size);
  std::vector<PreparedImage> pictures;
  for (const auto& reader : job.readers) {
    MemoryBudget::Lease lease = take(side * side * 3);
    const MemoryBudget::Lease working = take(reader->info().memory);
    PreparedImage& picture = pictures.emplace_back(engine_.prepare(*reader));
    picture.pixels = counted(std::move(picture.pixels), std::move(lease));
  }
  job.readers.clear();
  job.done(std::move(pictures));
}

}  // namespace fvlm::net
