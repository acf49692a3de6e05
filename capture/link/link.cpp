#include "capture/link/link.hpp"

#include <algorithm>
#include <utility>

namespace fvlm::capture {
namespace {

constexpr std::chrono::milliseconds kFirstRetry{250};
constexpr std::chrono::milliseconds kLongestRetry{5000};

}  // namespace

Link::Link(const LinkOptions& options, Connect connect, Now now, Counters& counters, Events events)
    : options_(options),
      connect_(std::move(connect)),
      now_(std::move(now)),
      counters_(counters),
      events_(std::move(events)),
      retry_(kFirstRetry) {}

void Link::tick() {
  const Clock::time_point now = now_();
  if (state_ == State::kLost && now >= retry_at_) {
    state_ = State::kConnecting;
    events_.changed(state_, "");
    socket_ = connect_({[this] { open(); }, [this](const std::string& text) { take(text); },
                        [this](const std::string& why) { lose(why); }});
  } else if (underway_ && now - sent_ > options_.answer_patience) {
    lose("the server does not answer");
  }
}

Clock::time_point Link::next_time() const {
  if (state_ == State::kLost) return retry_at_;
  if (state_ == State::kConnecting) return Clock::time_point::max();
  return underway_ ? sent_ + options_.answer_patience : due_;
}

bool Link::wants_picture() const {
  return state_ == State::kReady && !underway_ && now_() >= due_;
}

void Link::show(const Picture& picture) {
  counters_.copied_masked.add(socket_->send(picture));
  counters_.sent.add();
  counters_.sent_bytes.add(picture.size());
  underway_ = true;
  sent_ = now_();
  // In step with the last one, unless that was late already.
  due_ = std::max(due_ + options_.interval, sent_);
}

void Link::stop() {
  socket_.reset();
  underway_ = false;
  state_ = State::kLost;
  retry_at_ = Clock::time_point::max();
}

void Link::set_prompt(const std::string& prompt) {
  options_.prompt = prompt;
  if (state_ == State::kReady && options_.stream) {
    socket_->send(write_configure(prompt, options_.max_new_tokens));
  }
}

void Link::open() {
  counters_.connected.add();
  state_ = State::kReady;
  due_ = now_();
  if (options_.stream) {
    socket_->send(write_configure(options_.prompt, options_.max_new_tokens));
  }
  events_.changed(state_, "");
  events_.moved();
}

void Link::take(const std::string& text) {
  const Answer answer = read_answer(text);
  count(answer);
  if (underway_ && ends_frame(answer)) {
    underway_ = false;
    retry_ = kFirstRetry;
  }
  events_.answered(answer, text);
  events_.moved();
}

// The original server's one text per picture is the answer, whatever it is.
bool Link::ends_frame(const Answer& answer) const {
  if (!options_.stream) return true;
  switch (answer.kind) {
    case Answer::Kind::kDescription:
    case Answer::Kind::kSkipped:
      return true;
    case Answer::Kind::kError:
      return answer.frame_id.has_value();
    case Answer::Kind::kToken:
    case Answer::Kind::kUnknown:
      return false;
  }
  return false;
}

void Link::count(const Answer& answer) {
  if (answer.kind == Answer::Kind::kDescription) counters_.described.add();
  if (answer.kind == Answer::Kind::kSkipped) counters_.skipped.add();
  if (answer.kind == Answer::Kind::kError) counters_.failed.add();
}

void Link::lose(const std::string& why) {
  if (state_ == State::kReady) counters_.disconnected.add();
  state_ = State::kLost;
  socket_.reset();
  retry_at_ = now_() + std::chrono::duration_cast<Clock::duration>(
                           std::uniform_real_distribution<double>(0.75, 1.25)(random_) * retry_);
  retry_ = std::min(2 * retry_, kLongestRetry);
  if (std::exchange(underway_, false)) {
    counters_.unanswered.add();
    events_.unanswered(why);
  }
  events_.changed(state_, why);
  events_.moved();
}

}  // namespace fvlm::capture
