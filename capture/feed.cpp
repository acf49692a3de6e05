#include "capture/feed.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <variant>

namespace fvlm::capture {
namespace {

using Milliseconds = std::chrono::milliseconds;
using net::LogLevel;

constexpr Milliseconds kOriginalPace{1000};

protocol::State first_state(const FeedOptions& options) {
  protocol::State state;
  state.source = public_name(options.source.source);
  state.camera = "opening " + state.source;
  state.camera_cause = name_of(Cause::kOpening);
  state.server_place = place_of(options.server);
  state.stream = options.link.stream;
  state.prompt = options.link.prompt;
  state.interval = std::chrono::duration<double>(options.link.interval).count();
  return state;
}

// A source with a low frame rate needs a longer timeout.
CameraOptions camera_options(const SourceOptions& source) {
  CameraOptions options;
  if (source.rate > 0) {
    const auto expected = Milliseconds(static_cast<std::int64_t>(2500 / source.rate));
    options.frame_timeout = std::max(options.frame_timeout, expected);
  }
  return options;
}

}  // namespace

Feed::Feed(net::EventLoop& loop, const FeedOptions& options, net::Log log,
           std::function<void()> moved)
    : options_(options),
      log_(std::move(log)),
      moved_(std::move(moved)),
      loop_(loop),
      mailbox_(counters_),
      view_(options.view, counters_, view_controls()),
      link_(
          options.link,
          [this](LinkSocket::Events events) {
            return connect(loop_, options_.server, std::move(events));
          },
          [] { return Clock::now(); }, counters_, link_events()),
      encoder_(options.encoder, counters_) {
  view_.set_state(first_state(options));
}

View::Controls Feed::view_controls() {
  return {[this](const std::string& prompt) {
            log_(LogLevel::kInfo, "prompt: " + prompt);
            link_.set_prompt(prompt);
            change_state([&](protocol::State& state) { state.prompt = prompt; });
          },
          [this](double seconds) {
            link_.set_interval(Milliseconds(static_cast<std::int64_t>(seconds * 1000)));
            change_state([&](protocol::State& state) { state.interval = seconds; });
          },
          moved_};
}

Link::Events Feed::link_events() {
  return {[this](Link::State state, const Trouble& why) { on_link(state, why); },
          [this](const protocol::ServerMessage& message, const std::string& text) {
            on_answer(message, text);
          },
          [this](const std::string& why) {
            log_(LogLevel::kWarning, "⚠️ a picture stays unanswered: " + why);
          },
          moved_};
}

void Feed::change_state(const std::function<void(protocol::State& state)>& change) {
  protocol::State state = view_.state();
  change(state);
  view_.set_state(state);
}

Feed::~Feed() {
  camera_.reset();
  mailbox_.close();
  if (encoding_.joinable()) encoding_.join();
}

void Feed::open() {
  opened_ = open_source(options_.source, counters_);
}

void Feed::start() {
  if (!options_.link.stream && !options_.link.prompt.empty()) {
    log_(LogLevel::kWarning,
         "⚠️ the prompt is not used: in the original protocol the server has one of its own; "
         "--stream sends ours to a fastvlm server");
  }
  encoding_ = std::thread([this] { encode(); });
  camera_ = std::make_unique<Camera>(
      camera_options(options_.source),
      [this] { return opened_ ? std::move(opened_) : open_source(options_.source, counters_); },
      mailbox_, counters_,
      Camera::Events{
          [this](const CameraState& state) { loop_.post([this, state] { on_camera(state); }); },
          [this](const std::string& note) {
            loop_.post([this, note] { log_(LogLevel::kWarning, "⚠️ " + note); });
          }});
}

void Feed::stop() {
  link_.stop();
}

void Feed::encode() {
  while (auto frame = mailbox_.take()) {
    try {
      Picture picture = encoder_.encode(*frame);
      frame.reset();
      loop_.post([this, picture = std::move(picture)] { deliver(picture); });
    } catch (const TransformError& error) {
      // It will be so until the camera's picture has another size.
      loop_.post([this, why = std::string(error.what())] {
        if (view_.state().camera_live || view_.state().camera != why)
          on_camera({false, {Cause::kNothingLeft, why}});
      });
      counters_.damaged.add();
      mailbox_.want();
    } catch (const std::runtime_error&) {
      counters_.damaged.add();
      mailbox_.want();  // the next one, then
    }
  }
}

void Feed::deliver(const Picture& picture) {
  asked_ = false;
  if (link_.wants_picture()) {
    link_.show(picture);
    // Like the original's log, at its rate; at a higher one the log would hold nothing else.
    const bool slow = link_.options().interval >= kOriginalPace;
    log_(slow ? LogLevel::kInfo : LogLevel::kDebug,
         fmt::format("📤 sent picture {}, 📊 {}x{}, {:.1f} KB", picture.number, picture.width,
                     picture.height, static_cast<double>(picture.size()) / 1024));
  }
  if (view_.wants_picture()) view_.show(picture);
  moved_();
}

void Feed::on_camera(const CameraState& camera) {
  if (camera.live) {
    log_(LogLevel::kInfo, "✅ camera: " + camera.trouble.text);
  } else {
    log_(LogLevel::kError, "❌ camera: " + camera.trouble.text);
  }
  change_state([&](protocol::State& state) {
    state.camera_live = camera.live;
    state.camera = camera.trouble.text;
    state.camera_cause = name_of(camera.trouble.cause);
  });
}

void Feed::on_link(Link::State link, const Trouble& why) {
  if (link == Link::State::kConnecting) return;  // that a lost one is tried again is no news
  const bool ready = link == Link::State::kReady;
  if (ready) {
    log_(LogLevel::kInfo, "🔌 connected to " + options_.server.url);
  } else if (view_.state().server != "lost" || view_.state().server_text != why.text) {
    log_(LogLevel::kError, fmt::format("❌ server {}: {}", options_.server.url, why.text));
  }
  change_state([&](protocol::State& state) {
    state.server = ready ? "ready" : "lost";
    state.server_text = why.text;
    state.server_cause = name_of(why.cause);
  });
}

void Feed::on_answer(const protocol::ServerMessage& message, const std::string& text) {
  if (const auto* description = std::get_if<protocol::Description>(&message)) {
    log_(LogLevel::kInfo, options_.log_answers
                              ? "✨ " + description->content
                              : fmt::format("✨ {} bytes", description->content.size()));
  } else if (const auto* error = std::get_if<protocol::Error>(&message)) {
    log_(LogLevel::kError, "❌ " + error->message);
  }
  view_.pass_on(message, text);
}

Clock::time_point Feed::plan() {
  if (!asked_ && (link_.wants_picture() || view_.wants_picture())) {
    asked_ = true;
    mailbox_.want();
  }
  link_.tick();
  const Clock::time_point now = Clock::now();
  Clock::time_point next = Clock::time_point::max();
  for (const Clock::time_point time : {link_.next_time(), view_.next_time()}) {
    const bool awaited = asked_ && time <= now;  // the picture brings us back
    if (!awaited) next = std::min(next, time);
  }
  return next;
}

}  // namespace fvlm::capture
