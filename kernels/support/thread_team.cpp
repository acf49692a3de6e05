#include "kernels/support/thread_team.hpp"

#include <chrono>
#include <system_error>
#include <utility>

#include "kernels/support/make_error.hpp"
#include "kernels/support/processors.hpp"

namespace fvlm {
namespace {

// Longer than what lies between the loops of a pass. Whoever waits for longer sleeps, and leaves
// the processor to others.
constexpr std::chrono::microseconds kSpin(30);

struct Member {
  const ThreadTeam* team = nullptr;
  int number = 0;
};
thread_local Member member;

// Makes the calling thread a member of a team.
class Membership {
 public:
  explicit Membership(Member now) : before_(std::exchange(member, now)) {}
  ~Membership() { member = before_; }
  Membership(const Membership&) = delete;
  Membership& operator=(const Membership&) = delete;

 private:
  Member before_;
};

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits until ready(value): spins, then sleeps.
template <class T, class Ready>
void wait_until(const std::atomic<T>& atomic, const Ready& ready) {
  using Clock = std::chrono::steady_clock;
  constexpr int kLooks = 64;  // between looks at the clock
  const auto start = Clock::now();
  do {
    for (int i = 0; i < kLooks; ++i) {
      if (ready(atomic.load())) return;
      relax();
    }
  } while (Clock::now() - start < kSpin);
  for (T value = atomic.load(); !ready(value); value = atomic.load()) atomic.wait(value);
}

bool is_open(std::uint32_t epoch) {
  return epoch % 2 == 1;
}

}  // namespace

ThreadTeam& ThreadTeam::all() {
  static ThreadTeam team(available_processors());
  return team;
}

int ThreadTeam::calling_thread() {
  return member.number;
}

ThreadTeam::ThreadTeam(int threads) {
  try {
    helpers_.reserve(static_cast<std::size_t>(threads - 1));
    for (int i = 1; i < threads; ++i) helpers_.emplace_back([this, i] { help(i); });
  } catch (const std::system_error& error) {
    stop();
    throw make_error("cannot start {} threads: {}", threads, error.code().message());
  }
}

ThreadTeam::~ThreadTeam() {
  stop();
}

void ThreadTeam::stop() {
  stopping_ = true;
  epoch_ += 2;
  epoch_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void ThreadTeam::run(const Loop& loop) {
  if (member.team == this || loop.count <= 1 || helpers_.empty()) {
    const Membership membership(member.team == this ? member : Member{this, 0});
    for (std::int64_t i = 0; i < loop.count; ++i) loop.call(loop.work, i);
    return;
  }
  const std::lock_guard turn(turn_);
  const Membership membership({this, 0});
  loop_ = loop;
  next_.store(0, std::memory_order_relaxed);
  failed_ = loop.count;
  ++epoch_;
  epoch_.notify_all();
  iterate();
  ++epoch_;
  wait_until(helping_, [](std::uint32_t helping) { return helping == 0; });
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void ThreadTeam::iterate() {
  const Loop loop = loop_;
  while (true) {
    const std::int64_t i = next_.fetch_add(1, std::memory_order_relaxed);
    if (i >= loop.count) return;
    try {
      loop.call(loop.work, i);
    } catch (...) {
      next_.store(loop.count, std::memory_order_relaxed);
      const std::lock_guard lock(failing_);
      if (i < failed_) {
        failed_ = i;
        failure_ = std::current_exception();
      }
    }
  }
}

// Entering before looking, and closing before counting: either the loop's thread counts a helper,
// or the helper sees the loop closed. Helping in a later one than it was woken for is as good.
void ThreadTeam::help(int number) {
  const Membership membership({this, number});
  std::uint32_t helped = 0;
  while (true) {
    wait_until(epoch_, [&](std::uint32_t epoch) {
      return (is_open(epoch) && epoch != helped) || stopping_;
    });
    if (stopping_) return;
    ++helping_;
    helped = epoch_;
    if (is_open(helped)) iterate();
    if (--helping_ == 0) helping_.notify_one();
  }
}

}  // namespace fvlm
