#include "capture/link/link.hpp"

#include <algorithm>
#include <utility>
#include <variant>

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
    events_.changed(state_, {});
    socket_ = connect_({[this] { open(); }, [this](const std::string& text) { take(text); },
                        [this](const Trouble& why) { lose(why); }});
  } else if (underway_ && now - sent_ > options_.answer_patience) {
    lose({Cause::kNoAnswer, "the server does not answer"});
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
  if (state_ == State::kReady && options_.stream) configure();
}

void Link::open() {
  counters_.connected.add();
  state_ = State::kReady;
  due_ = now_();
  if (options_.stream) configure();
  events_.changed(state_, {});
  events_.moved();
}

void Link::configure() {
  protocol::Configure message{.stream = true, .temperature = 0};
  if (!options_.prompt.empty()) message.prompt = options_.prompt;
  if (options_.max_new_tokens > 0) message.max_new_tokens = options_.max_new_tokens;
  socket_->send(protocol::write(message));
}

void Link::take(const std::string& text) {
  const protocol::ServerMessage message = protocol::read_server_message(text);
  count(message);
  if (underway_ && ends_frame(message)) {
    underway_ = false;
    retry_ = kFirstRetry;
  }
  events_.answered(message, text);
  events_.moved();
}

// The original server's one text per picture is the answer, whatever it is.
bool Link::ends_frame(const protocol::ServerMessage& message) const {
  if (!options_.stream) return true;
  if (const auto* error = std::get_if<protocol::Error>(&message))
    return error->frame_id.has_value();
  return std::holds_alternative<protocol::Description>(message) ||
         std::holds_alternative<protocol::Skipped>(message);
}

void Link::count(const protocol::ServerMessage& message) {
  if (std::holds_alternative<protocol::Description>(message)) counters_.described.add();
  if (std::holds_alternative<protocol::Skipped>(message)) counters_.skipped.add();
  if (std::holds_alternative<protocol::Error>(message)) counters_.failed.add();
}

void Link::lose(const Trouble& why) {
  if (state_ == State::kReady) counters_.disconnected.add();
  state_ = State::kLost;
  socket_.reset();
  retry_at_ = now_() + std::chrono::duration_cast<Clock::duration>(
                           std::uniform_real_distribution<double>(0.75, 1.25)(random_) * retry_);
  retry_ = std::min(2 * retry_, kLongestRetry);
  if (std::exchange(underway_, false)) {
    counters_.unanswered.add();
    events_.unanswered(why.text);
  }
  events_.changed(state_, why);
  events_.moved();
}

}  // namespace fvlm::capture
