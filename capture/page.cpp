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
constexpr std::size_t kFreeWrongKeys = 5;

net::HttpResponse text_response(int status, const std::string& text) {
  return {status, "text/plain; charset=utf-8", text + "\n", {}};
}

}  // namespace

Page::Page(EventLoop& loop, PageOptions options, Counters& counters, Controls controls)
    : options_(std::move(options)),
      key_(options_.key, kFreeWrongKeys),
      files_(net::kWebFiles, "img-src 'self' blob:"),
      counters_(counters),
      controls_(std::move(controls)) {
  const PageAddress& address = options_.address;
  if (!net::is_loopback(address.host) && options_.key.empty() && !options_.open_to_all) {
    throw std::runtime_error(
        fmt::format("{} can be reached by others, who would see the camera: give --page-key-file "
                    "FILE, or --open-to-all if they may",
                    address.host));
  }
  if (const auto wrong = net::wrong_origin(options_.allowed_origins)) {
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

std::optional<net::HttpResponse> Page::refusal(const net::HttpRequest& request) const {
  if (!key_.asks() && !options_.open_to_all && !net::names_loopback(request.host)) {
    return text_response(403, "this page is for this machine only");
  }
  // The page's files say nothing to anybody who embeds them, and links lead to them.
  const bool harmless = request.origin.empty() && files_.has(request.path);
  if (!harmless && caller_of(request, options_.allowed_origins) == net::Caller::kForeign) {
    return text_response(
        403, "pages of other sites may not use this camera; --allow-origin would let them");
  }
  return std::nullopt;
}

std::optional<net::HttpResponse> Page::refusal_for_key(const net::HttpRequest& request) {
  using Kind = net::KeyGuard::Verdict::Kind;
  if (!key_.asks()) return std::nullopt;
  const auto [kind, wait] = key_.check(request.client, request.authorization);
  if (kind == Kind::kRight) return std::nullopt;
  if (kind == Kind::kWait) {
    counters_.refused_keys.add();
    net::HttpResponse response =
        text_response(429, fmt::format("too many wrong keys; try again in {} s", wait.count()));
    response.headers.emplace_back("Retry-After", std::to_string(wait.count()));
    return response;
  }
  if (kind == Kind::kWrong) {
    counters_.wrong_keys.add();
    controls_.log(net::LogLevel::kWarning,
                  fmt::format("⚠️ viewer {} gave a wrong key", request.peer));
  }
  net::HttpResponse response = text_response(401, "the key is needed");
  response.headers.emplace_back("WWW-Authenticate", "Basic realm=\"fastvlm-camera\"");
  return response;
}

net::HttpResponse Page::on_upgrade(const net::HttpRequest& request) {
  if (auto no = refusal(request)) return *std::move(no);
  if (auto no = refusal_for_key(request)) return *std::move(no);
  if (request.path != "/ws") return text_response(404, "WebSockets are at /ws");
  return {101, "", "", {}};
}

PageAnswer Page::on_request(const net::HttpRequest& request) {
  PageAnswer answer = answer_to(request);
  // Only allowed origins may embed a picture: not other sites, and not other ports of this host,
  // where untrusted programs may listen.
  const auto caller = caller_of(request, options_.allowed_origins);
  answer.response.headers.emplace_back(
      "Cross-Origin-Resource-Policy",
      caller == net::Caller::kAllowed ? "cross-origin" : "same-origin");
  return answer;
}

PageAnswer Page::answer_to(const net::HttpRequest& request) {
  if (auto no = refusal(request)) return {*std::move(no)};
  if (request.method != "GET") return {text_response(405, "only GET is understood")};
  if (request.path == "/healthz") return {health()};
  if (auto no = refusal_for_key(request)) return {*std::move(no)};
  if (auto file = files_.response(request.path)) return {*std::move(file)};
  if (request.path == "/metrics") {
    const Gauges gauges{state_.camera_live, state_.server == "ready", transport_->viewers()};
    return {{200, prometheus::kContentType, metrics_text(counters_, gauges), {}}};
  }
  PageAnswer answer;
  answer.response.headers = {{"Cache-Control", "no-store"},
                             {"Vary", "Origin, Referer, Sec-Fetch-Site"}};
  if (request.path == "/snapshot.jpg") {
    if (!state_.camera_live) return {text_response(503, state_.camera)};
    answer.follow = PageAnswer::Follow::kPicture;
    return answer;
  }
  if (request.path == "/stream.mjpg") {
    answer.follow = PageAnswer::Follow::kPictures;
    return answer;
  }
  return {text_response(404, "there is no such page")};
}

net::HttpResponse Page::health() const {
  const bool well = state_.camera_live && state_.server == "ready";
  return text_response(
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
