#include "net/service/live_service.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <iterator>
#include <utility>
#include <variant>
#include <vector>

namespace fvlm::net {
namespace {

double milliseconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

double tenths(double ms) {
  return std::round(10 * ms) / 10;
}

// As the original's clients get it.
protocol::Description description_now(std::string content) {
  return {.content = std::move(content),
          .timestamp = protocol::timestamp(std::chrono::system_clock::now())};
}

}  // namespace

LiveService::LiveService(Engine& engine, Transport& transport, std::shared_ptr<Inbox> inbox,
                         PicturePool& pictures, Metrics& metrics, KeyLimiter& key_limits,
                         Reporting reporting, LiveOptions options)
    : engine_(engine),
      transport_(transport),
      inbox_(std::move(inbox)),
      pictures_(pictures),
      metrics_(metrics),
      key_limits_(key_limits),
      reporting_(std::move(reporting)),
      options_(std::move(options)),
      frames_(options_.max_waiting_frames_per_address),
      bytes_(share_of(options_.max_waiting_bytes, options_.max_waiting_bytes_per_address)),
      memory_(options_.max_waiting_bytes) {}

LiveService::~LiveService() {
  while (!clients_.empty()) close(clients_.begin()->first);
}

std::int64_t LiveService::waiting() const {
  std::int64_t count = 0;
  for (const auto& [id, client] : clients_) count += std::ssize(client.waiting);
  return count;
}

std::int64_t LiveService::running() const {
  return std::count_if(clients_.begin(), clients_.end(),
                       [](const auto& entry) { return entry.second.current.has_value(); });
}

void LiveService::open(ConnectionId id, const HttpRequest& request) {
  const Client& client =
      clients_
          .emplace(id,
                   Client{.peer = request.peer,
                          .handshake = request.request_id,
                          .key = request.key,
                          .stream_of_key = key_limits_.take_stream(request.key).value_or(nullptr),
                          .address = request.client,
                          .prompt = options_.prompt,
                          .max_new_tokens = options_.max_new_tokens,
                          .unchanged_below = options_.unchanged_below})
          .first->second;
  log(LogLevel::kInfo, client,
      fmt::format("🔌 {} connected, {} in all", client.peer, clients_.size()));
}

void LiveService::close(ConnectionId id) {
  const auto known = clients_.find(id);
  if (known == clients_.end()) return;
  Client& client = known->second;
  if (client.current && client.current->request) engine_.cancel(*client.current->request);
  engine_.end_live(id);
  metrics_.end_frame("abandoned",
                     std::ssize(client.waiting) + (client.current.has_value() ? 1 : 0));
  log(LogLevel::kInfo, client,
      fmt::format("🔌 {} disconnected after {} frames", client.peer, client.frames));
  clients_.erase(known);
}

void LiveService::receive(ConnectionId id, std::string payload, bool binary) {
  const auto known = clients_.find(id);
  if (known == clients_.end()) return;
  if (binary) {
    take_frame(id, known->second, std::move(payload));
  } else {
    take_text(id, known->second, payload);
  }
}

void LiveService::take_text(ConnectionId id, Client& client, const std::string& text) {
  const protocol::ClientMessage message = protocol::read_client_message(text);
  if (const auto* settings = std::get_if<protocol::Configure>(&message)) {
    configure(id, client, *settings);
  } else if (std::holds_alternative<protocol::Cancel>(message)) {
    cancel(id, client);
  } else {
    refuse_text(id, std::get<protocol::Unreadable>(message).why);
  }
}

void LiveService::refuse_text(ConnectionId id, const std::string& why) {
  transport_.send(id, protocol::write(protocol::Error{.code = "bad_message", .message = why}));
}

void LiveService::configure(ConnectionId id, Client& client, const protocol::Configure& message) {
  Sampling sampling;
  sampling.temperature = message.temperature.value_or(client.temperature);
  sampling.max_new_tokens = message.max_new_tokens.value_or(client.max_new_tokens);
  if (const std::string problem = sampling.problem(); !problem.empty()) {
    refuse_text(id, problem);
    return;
  }
  client.configured = true;
  client.temperature = sampling.temperature;
  client.max_new_tokens = std::min(sampling.max_new_tokens, options_.max_new_tokens);
  client.prompt = message.prompt.value_or(client.prompt);
  client.gave_prompt = client.gave_prompt || message.prompt;
  client.stream = message.stream.value_or(client.stream);
  client.unchanged_below = message.unchanged_below.value_or(client.unchanged_below);
  if (message.request_id) client.request_id = message.request_id;
}

void LiveService::cancel(ConnectionId id, Client& client) {
  for (const Frame& frame : std::exchange(client.waiting, {})) {
    fail(id, frame.id, "cancelled", "cancelled while queued");
  }
  if (!client.current) return;
  if (client.current->request) {
    engine_.cancel(*client.current->request);  // its end is answered when it comes
  } else {
    fail(id, std::exchange(client.current, std::nullopt)->frame_id, "cancelled", "cancelled");
  }
}

void LiveService::take_frame(ConnectionId id, Client& client, std::string file) {
  metrics_.receive_frame();
  const std::int64_t frame_id = ++client.frames;
  log(LogLevel::kInfo, client,
      fmt::format("📥 {} frame {} 📊 {:.1f} KB", client.peer, frame_id,
                  static_cast<double>(file.size()) / 1000));
  if (client.configured) {
    for (const Frame& frame : std::exchange(client.waiting, {})) {
      metrics_.end_frame("skipped");
      transport_.send(id, protocol::write(protocol::Skipped{frame.id}));
    }
  } else if (client.waiting.size() >= options_.max_waiting_frames) {
    metrics_.reject("too_fast");
    transport_.close(id, CloseReason::kPolicy, "frames come faster than they are answered");
    return;
  }
  if (draining_) {
    refuse(id, client, "stopping", "the server is stopping");
    return;
  }
  const auto memory = memory_.take(file.size());
  if (!memory) {
    refuse(id, client, "busy", "too many frames are queued");
    return;
  }
  const auto place = frames_.take(client.address);
  const auto bytes = bytes_.take(client.address, file.size());
  if (!place || !bytes) {
    refuse(id, client, "busy", "too many frames of your address are queued");
    return;
  }
  const auto place_of_key = key_limits_.take_waiting_frame(client.key);
  if (!place_of_key) {
    refuse(id, client, "busy", "too many frames of your key are queued");
    return;
  }
  client.waiting.push_back(
      {frame_id, std::move(file), Clock::now(), *place, *bytes, memory, *place_of_key});
  begin_next(id, client);
}

void LiveService::refuse(ConnectionId id, const Client& client, const std::string& code,
                         const std::string& why) {
  const bool out_of_order = client.current || !client.waiting.empty();
  if (client.configured || !out_of_order) {
    fail(id, client.frames, code, why);
  } else {
    metrics_.reject(code);
    transport_.close(id, CloseReason::kOverload, why);
  }
}

void LiveService::begin_next(ConnectionId id, Client& client) {
  if (client.current || client.waiting.empty()) return;
  Frame frame = std::move(client.waiting.front());
  client.waiting.pop_front();
  if (const auto wait = key_limits_.take_request(client.key); wait.count() > 0) {
    fail(id, frame.id, "rate_limited",
         fmt::format("this key may not ask more often; try again in {} s", wait.count()));
    return;
  }
  client.current = Current{.frame_id = frame.id,
                           .arrived = frame.arrived,
                           .wanted = std::make_shared<const ConnectionId>(id)};
  std::vector<std::string> files;
  files.push_back(std::move(frame.file));
  pictures_.prepare(
      client.address, std::move(files), client.current->wanted,
      [this, inbox = inbox_, id, frame_id = frame.id](PicturePool::Prepared prepared) {
        inbox->post([this, id, frame_id, prepared = std::move(prepared)]() mutable {
          if (client_at(id, frame_id) != nullptr) on_prepared(id, frame_id, std::move(prepared));
        });
      });
}

void LiveService::on_prepared(ConnectionId id, std::int64_t frame_id,
                              PicturePool::Prepared prepared) {
  if (auto* pictures = std::get_if<std::vector<PreparedImage>>(&prepared)) {
    return describe(id, frame_id, std::move(*pictures));
  }
  clients_.at(id).current.reset();
  try {
    std::rethrow_exception(std::get<std::exception_ptr>(prepared));
  } catch (const Busy& busy) {
    fail(id, frame_id, "busy", busy.what());
  } catch (const std::exception& error) {
    fail(id, frame_id, "bad_image", error.what());
  }
}

void LiveService::describe(ConnectionId id, std::int64_t frame_id,
                           std::vector<PreparedImage> pictures) {
  Client& client = clients_.at(id);
  client.current->warnings = pictures.front().warnings;
  Request request;
  request.conversation.push_back({Turn::Role::kUser, client.prompt, std::move(pictures)});
  request.sampling.temperature = client.temperature;
  request.sampling.max_new_tokens = client.max_new_tokens;
  request.live =
      LiveView{.id = id, .draft = options_.drafts, .unchanged_below = client.unchanged_below};
  request.on_text = [this, inbox = inbox_, id, frame_id](std::string_view text) {
    inbox->post([this, id, frame_id, piece = std::string(text)] { on_text(id, frame_id, piece); });
  };
  request.on_done = [this, inbox = inbox_, id, frame_id](const Result& result) {
    inbox->post([this, id, frame_id, result] { on_done(id, frame_id, result); });
  };
  client.current->submitted = Clock::now();
  try {
    client.current->request = engine_.submit(std::move(request));
    return;
  } catch (const Busy& busy) {
    client.current.reset();
    fail(id, frame_id, "busy", busy.what());
  } catch (const std::exception& error) {
    client.current.reset();
    fail(id, frame_id, "bad_request", error.what());
  }
}

void LiveService::on_text(ConnectionId id, std::int64_t frame_id, const std::string& text) {
  const Client* client = client_at(id, frame_id);
  if (client == nullptr || !client->stream) return;
  transport_.send(id, protocol::write(protocol::Token{text, frame_id}));
}

void LiveService::on_done(ConnectionId id, std::int64_t frame_id, const Result& result) {
  Client* client = client_at(id, frame_id);
  if (client == nullptr) return;
  const Current current = *std::exchange(client->current, std::nullopt);
  if (result.outcome == Outcome::kCancelled) {
    fail(id, frame_id, "cancelled", "cancelled");
  } else if (result.outcome == Outcome::kFailed) {
    fail(id, frame_id, "failed", result.error);
  } else {
    send_description(id, *client, current, result);
    metrics_.end_frame(result.unchanged ? "unchanged" : "described");
    metrics_.add(result.statistics, milliseconds(current.submitted - current.arrived) / 1000);
    begin_next(id, *client);
  }
}

void LiveService::send_description(ConnectionId id, const Client& client, const Current& current,
                                   const Result& result) {
  const double total_ms = milliseconds(Clock::now() - current.arrived);
  protocol::Description description = description_now(result.text);
  if (client.configured) {
    description.frame_id = current.frame_id;
    description.ttft_ms =
        tenths(milliseconds(current.submitted - current.arrived) + 1000 * result.statistics.ttft_s);
    description.total_ms = tenths(total_ms);
    description.tokens = result.statistics.new_tokens;
    description.unchanged = result.unchanged;
    if (!client.gave_prompt) description.prompt = client.prompt;
    description.request_id = client.request_id;
  }
  transport_.send(id, protocol::write(description));
  if (current.warnings > 0) {
    metrics_.add_damaged_pictures(1);
    log(LogLevel::kWarning, client,
        fmt::format("⚠️ {} frame {}: damaged in {} places", client.peer, current.frame_id,
                    current.warnings));
  }
  reporting_.answered(
      fmt::format("📤 {} frame {} ✨ {:.0f} ms", client.peer, current.frame_id, total_ms),
      result.text, result.statistics, fields_of(client));
  if (total_ms > milliseconds(reporting_.slow)) {
    log(LogLevel::kWarning, client,
        fmt::format("⚠️ {} frame {}: {:.0f} ms, slow", client.peer, current.frame_id,
                    total_ms));
  }
}

void LiveService::fail(ConnectionId id, std::int64_t frame_id, const std::string& code,
                       const std::string& why) {
  Client& client = clients_.at(id);
  metrics_.end_frame(code);
  if (code != "cancelled" && code != "failed") metrics_.reject(code);
  log(code == "cancelled" ? LogLevel::kInfo : LogLevel::kError, client,
      fmt::format("❌ {} frame {}: {}", client.peer, frame_id, why));
  if (client.configured) {
    transport_.send(id, protocol::write(protocol::Error{code, why, frame_id}));
  } else {
    transport_.send(id, protocol::write(description_now("处理出错: " + why)));
  }
  begin_next(id, client);
}

void LiveService::cut() {
  std::vector<ConnectionId> ids;
  for (const auto& [id, client] : clients_) ids.push_back(id);
  for (const ConnectionId id : ids) {
    Client& client = clients_.at(id);
    std::vector<std::int64_t> frames;
    if (client.current) {
      if (client.current->request) engine_.cancel(*client.current->request);
      frames.push_back(std::exchange(client.current, std::nullopt)->frame_id);
    }
    for (const Frame& frame : std::exchange(client.waiting, {})) frames.push_back(frame.id);
    for (const std::int64_t frame : frames) fail(id, frame, "stopping", "the server is stopping");
  }
}

void LiveService::set(const LiveOptions& options) {
  options_ = options;
  frames_.set_limit(options.max_waiting_frames_per_address);
  bytes_.set_limit(share_of(options.max_waiting_bytes, options.max_waiting_bytes_per_address));
  memory_.set_limit(options.max_waiting_bytes);
}

void LiveService::log(LogLevel level, const Client& client, const std::string& line) const {
  reporting_.log(level, line, fields_of(client));
}

LogFields LiveService::fields_of(const Client& client) {
  return {.client = client.peer, .request_id = client.handshake, .key = client.key};
}

LiveService::Client* LiveService::client_at(ConnectionId id, std::int64_t frame_id) {
  const auto known = clients_.find(id);
  if (known == clients_.end()) return nullptr;
  Client& client = known->second;
  return client.current && client.current->frame_id == frame_id ? &client : nullptr;
}

}  // namespace fvlm::net
