#include "capture/page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <variant>
#include <web_files.hpp>  // generated: net::kWebFiles

#include "capture/metrics.hpp"
#include "net/http/access.hpp"
#include "net/process/prometheus.hpp"

namespace fvlm::capture {
namespace {

constexpr std::size_t kHistory = 50;
constexpr double kShortestInterval = 0.02;
constexpr double kLongestInterval = 3600;
constexpr std::size_t kLongestPrompt = 8000;

net::HttpResponse reply(const net::Refusal& refusal) {
  return net::text_response(refusal.status, refusal.text, refusal.headers);
}

}  // namespace

Page::Page(EventLoop& loop, PageOptions options, Counters& counters, Controls controls)
    : options_(std::move(options)),
      files_(net::kWebFiles, "img-src 'self' blob:"),
      gate_(options_.access, {"camera", "key", "fastvlm-camera"}, files_,
            [this](const std::string& line) { controls_.log(net::LogLevel::kWarning, line); }),
      counters_(counters),
      controls_(std::move(controls)) {
  const PageAddress& address = options_.address;
  if (options_.access.exposes(address.host)) {
    throw std::runtime_error(
        fmt::format("{} can be reached by others, who would see the camera: give --page-key-file "
                    "FILE, or --open-to-all if they may",
                    address.host));
  }
  if (const auto wrong = net::wrong_origin(options_.access.allowed_origins)) {
    throw std::runtime_error(*wrong);
  }
  transport_ = PageTransport::listen(loop, address, *this);
  transport_->on_wish([this] { controls_.moved(); });
}

bool Page::wants_picture() const {
  return Clock::now() >= due_ && transport_->wants_picture();
}

Clock::time_point Page::next_time() const {
  return transport_->wants_picture() ? due_ : Clock::time_point::max();
}

void Page::show(const Picture& picture) {
  due_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                            std::chrono::duration<double>(1 / options_.rate));
  counters_.copied_viewers.add(transport_->show(
      picture, [](const std::string& jpeg) { return protocol::write(protocol::Frame{jpeg}); }));
  if (picture.width == state_.width && picture.height == state_.height) return;
  protocol::State state = state_;
  state.width = picture.width;
  state.height = picture.height;
  set_state(state);
}

void Page::pass_on(const protocol::ServerMessage& message, const std::string& text) {
  const bool description = std::holds_alternative<protocol::Description>(message);
  if (description) {
    history_.push_back(text);
    if (history_.size() > kHistory) history_.pop_front();
  }
  for (const ViewerId id : description ? viewers_ : ours_) transport_->send(id, text);
}

void Page::set_state(const protocol::State& state) {
  state_ = state;
  if (!state_.camera_live) transport_->disappoint(state_.camera);
  const std::string text = protocol::write(state_);
  for (const ViewerId id : ours_) transport_->send(id, text);
}

net::HttpResponse Page::on_upgrade(const net::HttpRequest& request) {
  if (const auto no = gate_.refuse_caller(request)) return reply(*no);
  if (const auto no = gate_.refuse_key(request)) return reply(*no);
  if (request.path != "/ws") return net::text_response(404, "WebSockets are at /ws");
  return {101, "", "", {}};
}

PageAnswer Page::on_request(const net::HttpRequest& request) {
  PageAnswer answer = answer_to(request);
  // Only allowed origins may embed a picture: not other sites, and not other ports of this host,
  // where untrusted programs may listen.
  const auto caller = caller_of(request, options_.access.allowed_origins);
  answer.response.headers.emplace_back(
      "Cross-Origin-Resource-Policy",
      caller == net::Caller::kAllowed ? "cross-origin" : "same-origin");
  return answer;
}

PageAnswer Page::answer_to(const net::HttpRequest& request) {
  if (const auto no = gate_.refuse_caller(request)) return {reply(*no)};
  if (request.method != "GET") return {net::text_response(405, "only GET is understood")};
  if (request.path == "/healthz") return {health()};
  if (const auto no = gate_.refuse_key(request)) return {reply(*no)};
  if (auto file = files_.response(request.path)) return {*std::move(file)};
  if (request.path == "/metrics") {
    const Gauges gauges{state_.camera_live, state_.server == "ready", transport_->viewers(),
                        gate_.wrong_keys(), gate_.refused_keys()};
    return {{200, prometheus::kContentType, metrics_text(counters_, gauges), {}}};
  }
  PageAnswer answer;
  answer.response.headers = {{"Cache-Control", "no-store"},
                             {"Vary", "Origin, Referer, Sec-Fetch-Site"}};
  if (request.path == "/snapshot.jpg") {
    if (!state_.camera_live) return {net::text_response(503, state_.camera)};
    answer.follow = PageAnswer::Follow::kPicture;
    return answer;
  }
  if (request.path == "/stream.mjpg") {
    answer.follow = PageAnswer::Follow::kPictures;
    return answer;
  }
  return {net::text_response(404, "there is no such page")};
}

net::HttpResponse Page::health() const {
  const bool well = state_.camera_live && state_.server == "ready";
  return net::text_response(
      well ? 200 : 503,
      fmt::format("camera: {}\nserver: {}", state_.camera_live ? "live" : "lost", state_.server));
}

void Page::on_open(ViewerId id, const net::HttpRequest& request) {
  viewers_.insert(id);
  controls_.log(net::LogLevel::kInfo, fmt::format("🔌 viewer {} connected", request.peer));
}

void Page::on_close(ViewerId id) {
  viewers_.erase(id);
  ours_.erase(id);
  controls_.log(net::LogLevel::kInfo, "🔌 viewer disconnected");
}

void Page::on_text(ViewerId id, const std::string& text) {
  const protocol::ViewerMessage message = protocol::read_viewer_message(text);
  const auto* wish = std::get_if<protocol::ViewerConfigure>(&message);
  if (wish == nullptr) return;
  if (wish->binary) {
    transport_->set_form(id, PageTransport::Form::kBinary);
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
