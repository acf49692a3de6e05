#include "capture/client.hpp"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

namespace fvlm::capture {
namespace {

using Milliseconds = std::chrono::milliseconds;

constexpr Milliseconds kBeat{2000};
constexpr Milliseconds kLongestTurn{10'000};

// Of several cameras each line says which it is about.
net::Log log_of(const net::Log& log, const std::string& camera) {
  return [log, camera](net::LogLevel level, const std::string& line, const net::LogFields& fields) {
    log(level, camera + ": " + line, fields);
  };
}

}  // namespace

Client::Client(const ClientOptions& options, net::Log log) : log_(std::move(log)) {
  std::vector<PageCamera> cameras;
  for (const FeedOptions& feed : options.feeds) {
    const bool alone = options.feeds.size() == 1;
    feeds_.push_back(std::make_unique<Feed>(
        loop_, feed, alone ? log_ : log_of(log_, feed.view.name), [this] { plan(); }));
    cameras.push_back({&feeds_.back()->view(), &feeds_.back()->counters()});
  }
  page_ = std::make_unique<Page>(loop_, options.page, std::move(cameras), log_);
  open_cameras(options.wait_for_camera);
}

void Client::open_cameras(bool wait) {
  std::string failures;
  bool any = false;
  for (const auto& feed : feeds_) {
    try {
      feed->open();
      any = true;
    } catch (const SourceError& error) {
      const bool alone = feeds_.size() == 1;
      if (!failures.empty()) failures += '\n';
      failures += alone ? error.what() : feed->options().view.name + ": " + error.what();
    }
  }
  if (!any && !wait) throw SourceError(failures);
}

void Client::run(const std::function<void()>& alive) {
  for (const auto& feed : feeds_) feed->start();
  beat(alive);
  plan();
  loop_.run();
}

void Client::stop() {
  constexpr Milliseconds kFarewells{100};
  page_->stop();
  for (const auto& feed : feeds_) feed->stop();
  loop_.after(kFarewells, [this] { loop_.stop(); });
}

void Client::plan() {
  Clock::time_point next = Clock::time_point::max();
  for (const auto& feed : feeds_) next = std::min(next, feed->plan());
  if (next != Clock::time_point::max()) loop_.set_alarm(next, [this] { plan(); });
}

void Client::beat(const std::function<void()>& alive) {
  const bool moves = std::any_of(feeds_.begin(), feeds_.end(), [](const auto& feed) {
    return Clock::now() - feed->last_turn() < kLongestTurn;
  });
  if (moves) alive();
  loop_.after(kBeat, [this, alive] { beat(alive); });
}

}  // namespace fvlm::capture
