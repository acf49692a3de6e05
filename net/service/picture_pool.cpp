#include "net/service/picture_pool.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>

namespace fvlm::net {
namespace {

using Clock = std::chrono::steady_clock;

// More pixels than a camera's frame has; decoding takes longer than a frame interval.
constexpr std::int64_t kLargePixels = 12'000'000;

// Thrown between two rows of an image that takes too long.
struct Overdue {};

class ReaderWithDeadline : public ImageReader {
 public:
  ReaderWithDeadline(ImageReader& reader, Clock::time_point deadline)
      : reader_(reader), deadline_(deadline) {
    info_ = reader.info();
  }
  void read_row(std::uint8_t* rgb) override {
    if (Clock::now() >= deadline_) throw Overdue();
    reader_.read_row(rgb);
  }
  std::int64_t warnings() const override { return reader_.warnings(); }

 private:
  ImageReader& reader_;
  Clock::time_point deadline_;
};

// Memory that counts against a budget while it is in use, and so does its client's share.
Pixels counted(Pixels pixels, MemoryBudget::Lease lease, Quota::Lease share) {
  std::uint8_t* const data = pixels.get();
  return Pixels(data, [pixels = std::move(pixels), lease = std::move(lease),
                       share = std::move(share)](std::uint8_t*) {});
}

}  // namespace

struct PicturePool::Job {
  std::string client;
  std::vector<std::string> files;
  std::weak_ptr<const void> wanted;
  std::function<void(Prepared)> done;
  std::vector<std::unique_ptr<ImageReader>> readers{};

  std::int64_t pixels() const {
    std::int64_t sum = 0;
    for (const auto& reader : readers) sum += reader->info().width * reader->info().height;
    return sum;
  }
  // Others decode all rows before the first one, and cannot be interrupted.
  bool streams() const {
    return std::ranges::all_of(readers,
                               [](const auto& reader) { return reader->info().memory == 0; });
  }
};

PicturePool::PicturePool(Engine& engine, const PicturePoolOptions& options)
    : engine_(engine),
      options_(options),
      budget_(options.max_bytes),
      clients_(share_of(options.max_bytes, options.max_bytes_per_address)),
      workers_(options.threads),
      low_(1, Priority::kLow),
      idle_(1, Priority::kIdle) {}

void PicturePool::prepare(std::string client, std::vector<std::string> files,
                          std::weak_ptr<const void> wanted, std::function<void(Prepared)> done) {
  put(workers_,
      std::make_shared<Job>(
          Job{std::move(client), std::move(files), std::move(wanted), std::move(done)}),
      &PicturePool::begin);
}

void PicturePool::stop() {
  workers_.stop();
  idle_.stop();
  low_.stop();
}

// What goes wrong in the work ends the job. The exception is handed over outside of its handler, so
// that no two threads hold it.
void PicturePool::put(Workers& workers, const std::shared_ptr<Job>& job, Step step) {
  workers.put([this, job, step] {
    if (job->wanted.expired()) return;
    std::exception_ptr error;
    try {
      (this->*step)(job);
    } catch (...) {
      error = std::current_exception();
    }
    if (error) job->done(std::move(error));
  });
}

// Reads the headers, and hands large images to the other threads.
void PicturePool::begin(const std::shared_ptr<Job>& job) {
  open(*job);
  if (job->pixels() <= kLargePixels) {
    decode(job);
  } else if (job->streams()) {
    put(idle_, job, &PicturePool::decode_idly);
  } else {
    put(low_, job, &PicturePool::decode);
  }
}

void PicturePool::open(Job& job) const {
  job.readers.clear();
  const std::size_t all = job.files.size();
  for (const std::string& file : job.files) {
    const std::string name =
        all == 1 ? "the picture" : fmt::format("image {} of {}", job.readers.size() + 1, all);
    job.readers.push_back(open_image(std::as_bytes(std::span(file)), name, options_.image));
  }
}

void PicturePool::decode_idly(const std::shared_ptr<Job>& job) {
  try {
    decode_until(*job, Clock::now() + options_.idle_patience);
  } catch (const Overdue&) {
    open(*job);
    put(low_, job, &PicturePool::decode);
  }
}

void PicturePool::decode(const std::shared_ptr<Job>& job) {
  decode_until(*job, Clock::time_point::max());
}

void PicturePool::decode_until(Job& job, Clock::time_point deadline) {
  const auto take = [this](std::size_t bytes) {
    MemoryBudget::Lease lease = budget_.take(bytes);
    if (!lease) throw Busy("too many images are queued");
    return lease;
  };
  const auto side = static_cast<std::size_t>(engine_.info().image_size);
  const std::size_t each = side * side * 3;
  // Of all at once, so that a request of many is not refused because of itself. What a decoder
  // needs besides is bounded by the number of threads.
  const auto share = clients_.take(job.client, each * job.readers.size());
  if (!share) throw Busy("too many images of your address are queued");
  std::vector<PreparedImage> pictures;
  for (const auto& reader : job.readers) {
    MemoryBudget::Lease lease = take(each);
    const MemoryBudget::Lease working = take(reader->info().memory);
    ReaderWithDeadline rows(*reader, deadline);
    PreparedImage& picture = pictures.emplace_back(engine_.prepare(rows));
    picture.pixels = counted(std::move(picture.pixels), std::move(lease), *share);
  }
  job.readers.clear();
  job.done(std::move(pictures));
}

}  // namespace fvlm::net
