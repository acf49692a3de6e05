#include "capture/page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <utility>
#include <web_files.hpp>  // generated: net::kWebFiles

#include "capture/metrics.hpp"
#include "net/http/access.hpp"
#include "net/http/proxy.hpp"
#include "net/process/prometheus.hpp"
#include "net/protocol/json.hpp"

namespace fvlm::capture {
namespace {

constexpr std::string_view kCameras = "/cameras/";
constexpr char kMethods[] = "GET, HEAD, OPTIONS";

net::LogFields fields_of(const net::HttpRequest& request) {
  return {.client = request.peer, .request_id = request.request_id};
}

void append(net::HttpHeaders more, net::HttpHeaders& to) {
  to.insert(to.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

std::string health_of(const View& view) {
  const protocol::State& state = view.state();
  return fmt::format("camera: {}\nserver: {}", state.camera_live ? "live" : "lost", state.server);
}

}  // namespace

Page::Page(net::EventLoop& loop, PageOptions options, std::vector<PageCamera> cameras, net::Log log)
    : options_(std::move(options)),
      cameras_(std::move(cameras)),
      log_(std::move(log)),
      files_(net::kWebFiles, "img-src 'self' blob:"),
      gate_(options_.access, {"camera", "key", "fastvlm-camera"}, files_,
            [this](const std::string& line, const net::HttpRequest& request) {
              log_(net::LogLevel::kWarning, line, fields_of(request));
            }) {
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
  transport.max_connections *= cameras_.size();
  transport.max_connections_per_address *= cameras_.size();
  transport_ = net::Transport::listen(loop, transport, *this);
  for (const PageCamera& camera : cameras_) camera.view->attach(*transport_);
}

void Page::stop() {
  for (const PageCamera& camera : cameras_) camera.view->stop();
  transport_->stop();
}

Page::Place Page::place_of(std::string_view path) const {
  if (!path.starts_with(kCameras)) return {cameras_.front().view, path};
  path.remove_prefix(kCameras.size());
  const std::size_t end = std::min(path.find('/'), path.size());
  const auto found = std::find_if(cameras_.begin(), cameras_.end(), [&](const PageCamera& camera) {
    return camera.view->options().name == path.substr(0, end);
  });
  if (found == cameras_.end()) return {};
  return {found->view, path.substr(end)};
}

std::optional<net::HttpResponse> Page::refuse(net::HttpRequest& request) {
  auto refusal = gate_.refuse_caller(request);
  if (!refusal && place_of(request.path).rest != "/healthz" && request.method != "OPTIONS") {
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
  const Place place = place_of(request.path);
  if (place.view == nullptr) return net::text_response(404, "there is no such camera");
  if (place.rest != "/ws") return net::text_response(404, "WebSockets are at /ws");
  return {.status = 101};
}

net::HttpResponse Page::refusal(const net::HttpRequest&, int status, const std::string& why) {
  return net::text_response(status, why);
}

void Page::on_error(const std::string& what) {
  log_(net::LogLevel::kError, "❌ internal error: " + what);
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
  if (request.method == "OPTIONS") return net::options_response(request, kMethods);
  if (request.method != "GET" && request.method != "HEAD") {
    return net::text_response(405, "only GET is understood", {{"Allow", kMethods}});
  }
  if (request.path == "/healthz") return health();
  if (request.path == "/metrics") return metrics();
  if (request.path == "/cameras.json") return list();
  if (auto file = files_.response(request.path)) return file;
  const auto [view, rest] = place_of(request.path);
  if (view == nullptr) return net::text_response(404, "there is no such camera");
  if (rest == "/healthz") return net::text_response(view->is_well() ? 200 : 503, health_of(*view));
  net::HttpHeaders headers = headers_for(request);
  headers.emplace_back("Cache-Control", "no-store");
  if (rest == "/snapshot.jpg") return view->snapshot(id, std::move(headers));
  if (rest == "/stream.mjpg") {
    view->stream(id, std::move(headers));
    return std::nullopt;
  }
  return net::text_response(404, "there is no such page");
}

net::HttpResponse Page::list() const {
  std::vector<const View*> views;
  for (const PageCamera& camera : cameras_) views.push_back(camera.view);
  std::stable_sort(views.begin(), views.end(), [](const View* a, const View* b) {
    return a->options().place < b->options().place;
  });
  net::Json list = net::Json::array();
  for (const View* view : views) {
    const ViewOptions& options = view->options();
    list.push_back({{"name", options.name},
                    {"title", options.title.empty() ? options.name : options.title},
                    {"size", options.size}});
  }
  return {200, "application/json", net::dump(list) + "\n", {{"Cache-Control", "no-store"}}};
}

net::HttpResponse Page::metrics() const {
  std::vector<CameraMetrics> cameras;
  for (const auto& [view, counters] : cameras_) {
    const protocol::State& state = view->state();
    cameras.push_back({.name = cameras_.size() > 1 ? view->options().name : "",
                       .counters = counters,
                       .live = state.camera_live,
                       .server_ready = state.server == "ready",
                       .viewers = view->count()});
  }
  return {200,
          prometheus::kContentType,
          metrics_text(cameras, {gate_.wrong_keys(), gate_.refused_keys()}),
          {}};
}

net::HttpResponse Page::health() const {
  if (cameras_.size() == 1) {
    const View& view = *cameras_.front().view;
    return net::text_response(view.is_well() ? 200 : 503, health_of(view));
  }
  bool well = true;
  std::string text;
  for (const PageCamera& camera : cameras_) {
    const View& view = *camera.view;
    well = well && view.is_well();
    text += fmt::format("{}: camera {}, server {}\n", view.options().name,
                        view.state().camera_live ? "live" : "lost", view.state().server);
  }
  text.pop_back();  // the response ends the line
  return net::text_response(well ? 200 : 503, text);
}

void Page::on_open(ViewerId id, const net::HttpRequest& request) {
  View* const view = viewers_.emplace(id, place_of(request.path).view).first->second;
  log_(net::LogLevel::kInfo, fmt::format("🔌 viewer {} connected", request.peer),
       fields_of(request));
  view->open(id);
}

void Page::on_close(ViewerId id) {
  const auto viewer = viewers_.extract(id);
  viewer.mapped()->close(id);
  log_(net::LogLevel::kInfo, "🔌 viewer disconnected");
}

void Page::on_pong(ViewerId id, const std::string& payload) {
  viewers_.at(id)->acknowledge(id, payload);
}

void Page::on_message(ViewerId id, std::string text, bool binary) {
  if (!binary) viewers_.at(id)->take(id, text);
}

void Page::on_http_flushed(net::ExchangeId id) {
  for (const PageCamera& camera : cameras_) camera.view->flushed(id);
}

void Page::on_http_gone(net::ExchangeId id) {
  for (const PageCamera& camera : cameras_) camera.view->gone(id);
}

}  // namespace fvlm::capture
