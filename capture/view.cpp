#include "capture/view.hpp"

#include <algorithm>
#include <chrono>
#include <utility>
#include <variant>

namespace fvlm::capture {
namespace {

constexpr std::size_t kHistory = 50;
constexpr double kShortestInterval = 0.02;
constexpr double kLongestInterval = 3600;
constexpr std::size_t kLongestPrompt = 8000;

}  // namespace

View::View(ViewOptions options, Counters& counters, Controls controls)
    : options_(std::move(options)), counters_(counters), controls_(std::move(controls)) {}

void View::attach(net::Transport& transport) {
  transport_ = &transport;
  viewers_.emplace(transport, [this] { controls_.moved(); });
}

bool View::wants_picture() const {
  return Clock::now() >= due_ && viewers_->wants_picture();
}

Clock::time_point View::next_time() const {
  return viewers_->wants_picture() ? due_ : Clock::time_point::max();
}

void View::show(const Picture& picture) {
  due_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                            std::chrono::duration<double>(1 / options_.rate));
  counters_.copied_viewers.add(viewers_->show(
      picture, [](const std::string& jpeg) { return protocol::write(protocol::Frame{jpeg}); }));
  if (picture.width == state_.width && picture.height == state_.height) return;
  protocol::State state = state_;
  state.width = picture.width;
  state.height = picture.height;
  set_state(state);
}

void View::pass_on(const protocol::ServerMessage& message, const std::string& text) {
  const bool description = std::holds_alternative<protocol::Description>(message);
  if (description) {
    history_.push_back(text);
    if (history_.size() > kHistory) history_.pop_front();
  }
  for (const ViewerId id : description ? pages_ : ours_) transport_->send(id, text);
}

void View::set_state(const protocol::State& state) {
  state_ = state;
  if (!state_.camera_live && viewers_) viewers_->disappoint(state_.camera);
  const std::string text = protocol::write(state_);
  for (const ViewerId id : ours_) transport_->send(id, text);
}

std::optional<net::HttpResponse> View::snapshot(net::ExchangeId id, net::HttpHeaders headers) {
  if (!state_.camera_live) return net::text_response(503, state_.camera);
  viewers_->wait(id, std::move(headers));
  return std::nullopt;
}

void View::stream(net::ExchangeId id, net::HttpHeaders headers) {
  viewers_->stream(id, std::move(headers));
}

void View::open(ViewerId id) {
  pages_.insert(id);
  viewers_->open(id);
}

void View::close(ViewerId id) {
  viewers_->close(id);
  pages_.erase(id);
  ours_.erase(id);
}

void View::take(ViewerId id, const std::string& text) {
  const protocol::ViewerMessage message = protocol::read_viewer_message(text);
  const auto* wish = std::get_if<protocol::ViewerConfigure>(&message);
  if (wish == nullptr) return;
  if (wish->binary) {
    viewers_->set_form(id, Viewers::Form::kBinary);
    if (ours_.insert(id).second) {
      transport_->send(id, protocol::write(protocol::History{{history_.begin(), history_.end()}}));
      transport_->send(id, protocol::write(state_));
    }
  }
  if (wish->prompt && wish->prompt->size() <= kLongestPrompt && state_.stream) {
    controls_.prompt(*wish->prompt);
  }
  if (wish->interval) {
    controls_.interval(std::clamp(*wish->interval, kShortestInterval, kLongestInterval));
  }
}

}  // namespace fvlm::capture
