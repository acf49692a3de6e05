#include "capture/page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <utility>
#include <variant>
#include <web_files.hpp>  // generated: net::kWebFiles

#include "capture/metrics.hpp"
#include "net/http/access.hpp"
#include "net/http/proxy.hpp"
#include "net/process/prometheus.hpp"

namespace fvlm::capture {
namespace {

constexpr std::size_t kHistory = 50;
constexpr double kShortestInterval = 0.02;
constexpr double kLongestInterval = 3600;
constexpr std::size_t kLongestPrompt = 8000;

net::LogFields fields_of(const net::HttpRequest& request) {
  return {.client = request.peer, .request_id = request.request_id};
}

void append(net::HttpHeaders more, net::HttpHeaders& to) {
  to.insert(to.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

}  // namespace

Page::Page(net::EventLoop& loop, PageOptions options, Counters& counters, Controls controls)
    : options_(std::move(options)),
      files_(net::kWebFiles, "img-src 'self' blob:"),
      gate_(options_.access, {"camera", "key", "fastvlm-camera"}, files_,
            [this](const std::string& line, const net::HttpRequest& request) {
              controls_.log(net::LogLevel::kWarning, line, fields_of(request));
            }),
      counters_(counters),
      controls_(std::move(controls)) {
  const std::string& host = options_.transport.host;
  if (options_.access.exposes(host)) {
    throw std::runtime_error(
        fmt::format("{} can be reached by others, who would see the camera: give --page-key-file "
                    "FILE, or --open-to-all if they may",
                    host));
  }
  if (const auto wrong = net::wrong_origin(options_.access.allowed_origins)) {
    throw std::runtime_error(*wrong);
  }
  net::TransportOptions& transport = options_.transport;
  transport.base_path = net::normal_base_path(transport.base_path);
  for (const auto& wrong :
       {net::wrong_base_path(transport.base_path), net::wrong_network(transport.trusted_proxies)}) {
    if (wrong) throw std::runtime_error(*wrong);
  }
  transport_ = net::Transport::listen(loop, options_.transport, *this);
  viewers_.emplace(*transport_, [this] { controls_.moved(); });
}

void Page::stop() {
  viewers_->stop();
  transport_->stop();
}

bool Page::wants_picture() const {
  return Clock::now() >= due_ && viewers_->wants_picture();
}

Clock::time_point Page::next_time() const {
  return viewers_->wants_picture() ? due_ : Clock::time_point::max();
}

void Page::show(const Picture& picture) {
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

void Page::pass_on(const protocol::ServerMessage& message, const std::string& text) {
  const bool description = std::holds_alternative<protocol::Description>(message);
  if (description) {
    history_.push_back(text);
    if (history_.size() > kHistory) history_.pop_front();
  }
  for (const ViewerId id : description ? pages_ : ours_) transport_->send(id, text);
}

void Page::set_state(const protocol::State& state) {
  state_ = state;
  if (!state_.camera_live) viewers_->disappoint(state_.camera);
  const std::string text = protocol::write(state_);
  for (const ViewerId id : ours_) transport_->send(id, text);
}

std::optional<net::HttpResponse> Page::refuse(net::HttpRequest& request) {
  auto refusal = gate_.refuse_caller(request);
  if (!refusal && request.path != "/healthz" && request.method != "OPTIONS") {
    refusal = gate_.refuse_key(request);
  }
  if (!refusal) return std::nullopt;
  return net::text_response(refusal->status, refusal->text, refusal->headers);
}

std::optional<net::HttpResponse> Page::on_head(net::HttpRequest& request) {
  auto response = refuse(request);
  if (response) append(headers_for(request), response->headers);
  return response;
}

net::HttpResponse Page::on_upgrade(net::HttpRequest& request) {
  if (auto response = refuse(request)) return *std::move(response);
  if (request.path != "/ws") return net::text_response(404, "WebSockets are at /ws");
  return {.status = 101};
}

net::HttpResponse Page::refusal(const net::HttpRequest&, int status, const std::string& why) {
  return net::text_response(status, why);
}

void Page::on_error(const std::string& what) {
  controls_.log(net::LogLevel::kError, "❌ internal error: " + what);
}

// Only allowed origins may embed a picture: not other sites, and not other ports of this host,
// where untrusted programs may listen.
net::HttpHeaders Page::headers_for(const net::HttpRequest& request) const {
  const bool allowed = caller_of(request, options_.access.allowed_origins) == net::Caller::kAllowed;
  net::HttpHeaders headers = {
      {"Cross-Origin-Resource-Policy", allowed ? "cross-origin" : "same-origin"},
      {"Vary", "Origin, Referer, Sec-Fetch-Site"}};
  if (allowed && !request.origin.empty()) {
    headers.emplace_back("Access-Control-Allow-Origin", request.origin);
  }
  return headers;
}

std::optional<net::HttpResponse> Page::on_http(net::ExchangeId id, net::HttpRequest request) {
  auto response = answer(id, request);
  if (response) append(headers_for(request), response->headers);
  return response;
}

std::optional<net::HttpResponse> Page::answer(net::ExchangeId id, const net::HttpRequest& request) {
  if (request.method == "OPTIONS") return net::options_response(request);
  if (request.method != "GET" && request.method != "HEAD") {
    return net::text_response(405, "only GET is understood", {{"Allow", "GET, HEAD, OPTIONS"}});
  }
  if (request.path == "/healthz") return health();
  if (request.path == "/metrics") return metrics();
  if (auto file = files_.response(request.path)) return file;
  net::HttpHeaders headers = headers_for(request);
  headers.emplace_back("Cache-Control", "no-store");
  if (request.path == "/snapshot.jpg") {
    if (!state_.camera_live) return net::text_response(503, state_.camera);
    viewers_->wait(id, std::move(headers));
    return std::nullopt;
  }
  if (request.path == "/stream.mjpg") {
    viewers_->stream(id, std::move(headers));
    return std::nullopt;
  }
  return net::text_response(404, "there is no such page");
}

net::HttpResponse Page::metrics() const {
  const Gauges gauges{state_.camera_live, state_.server == "ready", viewers_->count(),
                      gate_.wrong_keys(), gate_.refused_keys()};
  return {200, prometheus::kContentType, metrics_text(counters_, gauges), {}};
}

net::HttpResponse Page::health() const {
  const bool well = state_.camera_live && state_.server == "ready";
  return net::text_response(
      well ? 200 : 503,
      fmt::format("camera: {}\nserver: {}", state_.camera_live ? "live" : "lost", state_.server));
}

void Page::on_open(ViewerId id, const net::HttpRequest& request) {
  pages_.insert(id);
  controls_.log(net::LogLevel::kInfo, fmt::format("🔌 viewer {} connected", request.peer),
                fields_of(request));
  viewers_->open(id);
}

void Page::on_close(ViewerId id) {
  viewers_->close(id);
  pages_.erase(id);
  ours_.erase(id);
  controls_.log(net::LogLevel::kInfo, "🔌 viewer disconnected");
}

void Page::on_pong(ViewerId id, const std::string& payload) {
  viewers_->acknowledge(id, payload);
}

void Page::on_message(ViewerId id, std::string text, bool binary) {
  if (binary) return;
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
