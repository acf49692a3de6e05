#include "net/service/chat_service.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <iterator>
#include <random>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "net/api/openai_request.hpp"
#include "net/http/access.hpp"
#include "net/http/one_line.hpp"
#include "net/protocol/percent.hpp"

namespace fvlm::net {
namespace {

constexpr std::string_view kModels = "/v1/models";
constexpr std::string_view kChat = "/v1/chat/completions";
constexpr std::size_t kLargeBody = std::size_t{1} << 20;

std::int64_t now_in_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

ApiError busy_error(const std::string& why) {
  return {.status = 429, .message = why, .type = "rate_limit_error", .code = "busy"};
}

ApiError model_not_found(const std::string& asked, const std::string& served) {
  return {.status = 404,
          .message = fmt::format("there is no model \"{}\" here, only \"{}\"",
                                 one_line(asked, kLongestQuote), served),
          .param = "model",
          .code = "model_not_found"};
}

HttpResponse wrong_method(const HttpRequest& request, const char* allowed) {
  HttpResponse response = error_response(
      {.status = 405,
       .message = fmt::format("{} is for {}, not {}", one_line(request.path, kLongestQuote),
                              allowed, one_line(request.method, kLongestQuote)),
       .code = "method_not_allowed"});
  response.headers.emplace_back("Allow", allowed);
  return response;
}

}  // namespace

ChatService::ChatService(Engine& engine, Transport& transport, std::shared_ptr<Inbox> inbox,
                         PicturePool& pictures, Metrics& metrics, KeyLimiter& key_limits,
                         Reporting reporting, ChatOptions options)
    : engine_(engine),
      transport_(transport),
      inbox_(std::move(inbox)),
      pictures_(pictures),
      metrics_(metrics),
      key_limits_(key_limits),
      log_(reporting.log),
      reporting_(std::move(reporting)),
      options_(std::move(options)),
      addresses_(share_of(options_.max_chats, options_.max_chats_per_address)),
      started_(now_in_seconds()),
      id_prefix_(fmt::format("chatcmpl-{:08x}", std::random_device()())),
      readers_(options_.readers),
      large_readers_(1, Priority::kLow) {
  if (options_.model.empty()) options_.model = engine_.info().model;
}

ChatService::~ChatService() {
  large_readers_.stop();
  readers_.stop();
  while (!chats_.empty()) abandon(chats_.begin()->first);
}

std::optional<HttpResponse> ChatService::answer(ExchangeId id, HttpRequest request) {
  if (request.path == kChat) {
    if (request.method != "POST") return wrong_method(request, "POST");
    return begin(id, std::move(request));
  }
  if (auto models = answer_models(request)) return models;
  return error_response(
      {.status = 404,
       .message = fmt::format("{} is not served here, only {} and {}",
                              one_line(request.path, kLongestQuote), kModels, kChat),
       .code = "not_found"});
}

// The name that the operator gave, or that of its folder.
bool ChatService::is_served(const std::string& model) const {
  return model.empty() || model == options_.model || model == engine_.info().model;
}

ServedModel ChatService::served_model() const {
  return {.name = options_.model,
          .folder = engine_.info().model,
          .created = started_,
          .context_tokens = engine_.info().context_tokens,
          .tokens_of_image = engine_.info().image_tokens,
          .max_answer_tokens = options_.max_new_tokens};
}

std::optional<HttpResponse> ChatService::answer_models(const HttpRequest& request) const {
  std::string_view rest = request.path;
  if (!rest.starts_with(kModels)) return std::nullopt;
  rest.remove_prefix(kModels.size());
  if (!rest.empty() && rest.front() != '/') return std::nullopt;
  if (request.method != "GET" && request.method != "HEAD") return wrong_method(request, "GET");
  const std::string asked = percent_decoded(rest.substr(std::min<std::size_t>(1, rest.size())));
  if (asked.empty()) {
    return HttpResponse{200, "application/json", write_models(served_model()), {}};
  }
  if (!is_served(asked)) return error_response(model_not_found(asked, options_.model));
  return HttpResponse{200, "application/json", write_model(served_model()), {}};
}

std::optional<HttpResponse> ChatService::begin(ExchangeId id, HttpRequest request) {
  if (draining_) {
    metrics_.end_chat("stopping");
    return error_response({.status = 503,
                           .message = "the server is stopping",
                           .type = "server_error",
                           .code = "stopping"});
  }
  if (chats_.size() >= options_.max_chats) {
    metrics_.end_chat("busy");
    return error_response(busy_error("too many chats at a time"));
  }
  const auto place = addresses_.take(request.client);
  if (!place) {
    metrics_.end_chat("busy");
    return error_response(busy_error("too many chats of your address at a time"));
  }
  auto stream = key_limits_.take_stream(request.key);
  if (!stream) {
    metrics_.end_chat("busy");
    return error_response(busy_error("this key has as many streams as it may have"));
  }
  if (const auto wait = key_limits_.take_request(request.key); wait.count() > 0) {
    metrics_.end_chat("rate_limited");
    HttpResponse response = error_response(
        {.status = 429,
         .message = fmt::format("this key may not ask more often; try again in {} s", wait.count()),
         .type = "rate_limit_error",
         .code = "rate_limited"});
    response.set_header("Retry-After", std::to_string(wait.count()));
    return response;
  }
  const auto body = std::make_shared<const std::string>(std::move(request.body));
  const Chat& chat = chats_
                         .emplace(id, Chat{.peer = request.peer,
                                           .request_id = request.request_id,
                                           .key = request.key,
                                           .stream_of_key = *std::move(stream),
                                           .arrived = std::chrono::steady_clock::now(),
                                           .origin = request.origin,
                                           .place = *place,
                                           .body = body})
                         .first->second;
  log_(LogLevel::kInfo,
       fmt::format("📥 {} chat {} 📊 {:.1f} KB", chat.peer, id,
                   static_cast<double>(body->size()) / 1000),
       fields_of(chat));
  Workers& readers = body->size() < kLargeBody ? readers_ : large_readers_;
  readers.put([this, id, body = Body(body)] { read(id, body); });
  return std::nullopt;
}

void ChatService::read(ExchangeId id, const Body& body) {
  auto text = body.lock();
  if (!text) return;
  auto read = read_chat_request(
      *text, {.max_new_tokens = options_.max_new_tokens, .vocabulary = engine_.info().vocabulary});
  text.reset();
  if (const auto* error = std::get_if<ApiError>(&read)) return refuse(id, *error);
  auto& chat = std::get<ChatRequest>(read);
  if (!is_served(chat.model)) {
    return refuse(id, model_not_found(chat.model, options_.model));
  }
  std::vector<std::string> files;
  for (ChatTurn& turn : chat.turns) {
    for (std::string& file : turn.images) files.push_back(std::move(file));
  }
  pictures_.prepare(std::move(files), [this, id, body, chat = std::move(chat)](
                                          PicturePool::Prepared prepared) mutable {
    readers_.put(
        [this, id, body, chat = std::move(chat), prepared = std::move(prepared)]() mutable {
          if (!body.expired()) submit(id, chat, std::move(prepared));
        });
  });
}

void ChatService::refuse(ExchangeId id, ApiError error) {
  inbox_->post([this, id, error = std::move(error)] { fail(id, error); });
}

void ChatService::submit(ExchangeId id, const ChatRequest& chat, PicturePool::Prepared prepared) {
  try {
    if (const auto* error = std::get_if<std::exception_ptr>(&prepared)) {
      std::rethrow_exception(*error);
    }
    auto& pictures = std::get<std::vector<PreparedImage>>(prepared);
    const auto damaged = std::count_if(pictures.begin(), pictures.end(),
                                       [](const PreparedImage& p) { return p.warnings > 0; });
    const Request request = make_request(chat, std::move(pictures));
    ChatRequest settings;
    settings.sampling = chat.sampling;
    settings.answers = chat.answers;
    settings.may_call = chat.may_call;
    settings.stop = chat.stop;
    settings.stream = chat.stream;
    settings.include_usage = chat.include_usage;
    inbox_->post([this, id, settings = std::move(settings)] { accept(id, settings); });
    if (damaged > 0) {
      inbox_->post([this, id, damaged] {
        metrics_.add_damaged_pictures(damaged);
        log_(LogLevel::kWarning, fmt::format("⚠️ chat {}: {} damaged pictures", id, damaged));
      });
    }
    for (std::size_t index = 0; index < static_cast<std::size_t>(chat.answers); ++index) {
      const RequestId number = engine_.submit(request_of_choice(id, index, request));
      inbox_->post([this, id, index, number] { on_submitted(id, index, number); });
    }
  } catch (const Busy& busy) {
    refuse(id, busy_error(busy.what()));
  } catch (const std::exception& error) {
    refuse(id, {.message = error.what(), .param = "messages"});
  }
}

// `pictures` are those of all turns, in their order.
Request ChatService::make_request(const ChatRequest& chat, std::vector<PreparedImage> pictures) {
  Request request;
  auto next = std::make_move_iterator(pictures.begin());
  for (const ChatTurn& turn : chat.turns) {
    const auto end = next + std::ssize(turn.images);
    request.conversation.push_back(
        {.role = turn.role, .text = turn.text, .images = std::vector<PreparedImage>(next, end)});
    next = end;
  }
  request.sampling = chat.sampling;
  request.grammar = chat.grammar;
  return request;
}

// The same, for one of several answers.
Request ChatService::request_of_choice(ExchangeId id, std::size_t index, const Request& request) {
  Request one = request;
  if (one.sampling.seed) *one.sampling.seed += index;
  one.on_text = [this, inbox = inbox_, id, index](std::string_view text) {
    inbox->post([this, id, index, piece = std::string(text)] { on_text(id, index, piece); });
  };
  if (one.sampling.logprobs) {
    one.on_logprobs = [this, inbox = inbox_, id, index](const TokenLogprobs& token) {
      inbox->post([this, id, index, token] { on_logprobs(id, index, token); });
    };
  }
  one.on_done = [this, inbox = inbox_, id, index](const Result& result) {
    Result end;
    end.outcome = result.outcome;
    end.error = result.error;
    end.statistics = result.statistics;
    inbox->post([this, id, index, end = std::move(end)] { on_done(id, index, end); });
  };
  return one;
}

void ChatService::accept(ExchangeId id, const ChatRequest& request) {
  const auto known = chats_.find(id);
  if (known == chats_.end()) return;
  Chat& chat = known->second;
  chat.body.reset();
  chat.submitted = std::chrono::steady_clock::now();
  chat.answer = {.id = fmt::format("{}{:08x}", id_prefix_, id),
                 .model = options_.model,
                 .created = now_in_seconds(),
                 .include_usage = request.include_usage,
                 .include_logprobs = request.sampling.logprobs.has_value()};
  chat.stream = request.stream;
  chat.may_call = request.may_call;
  for (std::int64_t i = 0; i < request.answers; ++i) {
    chat.choices.emplace_back().filter = AnswerFilter(request.stop, request.may_call);
  }
}

void ChatService::on_submitted(ExchangeId id, std::size_t index, RequestId request) {
  const auto known = chats_.find(id);
  if (known == chats_.end()) {
    engine_.cancel(request);  // its client has disconnected, or it has ended already
  } else {
    known->second.choices[index].request = request;
  }
}

void ChatService::cancel(const Chat& chat) {
  for (const Choice& choice : chat.choices) {
    if (choice.request && choice.finish_reason == nullptr) engine_.cancel(*choice.request);
  }
}

void ChatService::abandon(ExchangeId id) {
  const auto known = chats_.find(id);
  if (known == chats_.end()) return;
  cancel(known->second);
  metrics_.end_chat("abandoned");
  log_(LogLevel::kInfo, fmt::format("🔌 {} left chat {}", known->second.peer, id),
       fields_of(known->second));
  chats_.erase(known);
}

void ChatService::on_logprobs(ExchangeId id, std::size_t index, const TokenLogprobs& token) {
  const auto known = chats_.find(id);
  if (known != chats_.end()) known->second.choices[index].filter.add(token);
}

void ChatService::on_text(ExchangeId id, std::size_t index, const std::string& text) {
  const auto known = chats_.find(id);
  if (known == chats_.end()) return;
  Chat& chat = known->second;
  Choice& choice = chat.choices[index];
  if (choice.filter.stopped()) return;
  say(id, chat, index, choice.filter.add(text));
  // The engine ends the request, and calls on_done.
  if (choice.filter.stopped() && choice.request) engine_.cancel(*choice.request);
}

void ChatService::say(ExchangeId id, Chat& chat, std::size_t index, AnswerFilter::Piece piece) {
  if (chat.stream) {
    if (!std::exchange(chat.begun, true)) {
      std::string events;
      for (std::size_t i = 0; i < chat.choices.size(); ++i) events += first_event(chat.answer, i);
      transport_.begin_response(
          id,
          readable_by(chat.origin, {200,
                                    "text/event-stream; charset=utf-8",
                                    events,
                                    {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}}}));
    }
    if (!piece.empty()) {
      transport_.add_to_response(id, piece_event(chat.answer, index, piece.text, piece.logprobs));
    }
  }
  AnswerFilter::Piece& said = chat.choices[index].said;
  said.text += piece.text;
  if (chat.stream) return;
  std::move(piece.logprobs.begin(), piece.logprobs.end(), std::back_inserter(said.logprobs));
}

void ChatService::on_done(ExchangeId id, std::size_t index, const Result& result) {
  const auto known = chats_.find(id);
  if (known == chats_.end()) return;
  Chat& chat = known->second;
  Choice& choice = chat.choices[index];
  const bool stopped = choice.filter.stopped();
  if (result.outcome == Outcome::kFailed || (result.outcome == Outcome::kCancelled && !stopped)) {
    fail(id, {.status = 500, .message = result.error, .type = "server_error", .code = "failed"});
    return;
  }
  end_choice(id, chat, index, stopped ? Outcome::kStop : result.outcome);
  const Statistics& statistics = result.statistics;
  choice.statistics = statistics;
  metrics_.add(statistics, std::chrono::duration<double>(chat.submitted - chat.arrived).count());
  chat.seconds = std::max(chat.seconds, statistics.total_s);
  chat.usage.new_tokens += statistics.new_tokens;
  if (index == 0) {
    chat.usage.prompt_tokens = statistics.prompt_tokens;
    chat.usage.cached_tokens = statistics.cached_tokens;
  }
  if (std::ranges::any_of(chat.choices, [](const Choice& c) { return c.finish_reason == nullptr; }))
    return;
  finish(id, chat);
  chats_.erase(known);
}

// A call that was cut off is a text, like one in another form.
void ChatService::end_choice(ExchangeId id, Chat& chat, std::size_t index, Outcome outcome) {
  Choice& choice = chat.choices[index];
  AnswerFilter::Piece rest = choice.filter.finish();
  if (chat.may_call) choice.call = read_tool_call(rest.text);
  choice.finish_reason = choice.call                   ? "tool_calls"
                         : outcome == Outcome::kLength ? "length"
                                                       : "stop";
  const AnswerFilter::Piece empty;
  say(id, chat, index, choice.call && chat.stream ? empty : std::move(rest));
  if (!chat.stream) return;
  if (choice.call) transport_.add_to_response(id, call_event(chat.answer, index, *choice.call));
  transport_.add_to_response(id, finish_event(chat.answer, index, choice.finish_reason));
}

void ChatService::finish(ExchangeId id, const Chat& chat) {
  metrics_.end_chat("answered");
  for (const Choice& choice : chat.choices) {
    reporting_.answered(fmt::format("📤 {} chat {} ✨ {:.0f} ms", chat.peer, id, 1000 * chat.seconds),
                        choice.said.text, choice.statistics, fields_of(chat));
  }
  if (chat.stream) {
    transport_.add_to_response(id, last_events(chat.answer, chat.usage));
    transport_.finish_response(id);
    return;
  }
  std::vector<ChatChoice> choices;
  for (const Choice& choice : chat.choices) {
    choices.push_back({choice.said.text, choice.said.logprobs, choice.finish_reason,
                       choice.call ? &*choice.call : nullptr});
  }
  const std::string body = write_answer(chat.answer, choices, chat.usage);
  transport_.respond(id, readable_by(chat.origin, {200, "application/json", body, {}}));
}

void ChatService::cut() {
  while (!chats_.empty()) {
    fail(chats_.begin()->first, {.status = 503,
                                 .message = "the server is stopping",
                                 .type = "server_error",
                                 .code = "stopping"});
  }
}

void ChatService::set(const ChatOptions& options) {
  options_.max_new_tokens = options.max_new_tokens;
  options_.max_chats = options.max_chats;
  addresses_.set_limit(share_of(options.max_chats, options.max_chats_per_address));
}

LogFields ChatService::fields_of(const Chat& chat) {
  return {.client = chat.peer, .request_id = chat.request_id, .key = chat.key};
}

void ChatService::fail(ExchangeId id, const ApiError& error) {
  const auto known = chats_.find(id);
  if (known == chats_.end()) return;
  cancel(known->second);
  metrics_.end_chat(error.code.empty() ? "bad_request" : error.code);
  if (known->second.begun) {  // else the response says it, and is logged
    log_(LogLevel::kError, fmt::format("❌ {} chat {}: {}", known->second.peer, id, error.message),
         fields_of(known->second));
    transport_.add_to_response(id, error_event(error) + "data: [DONE]\n\n");
    transport_.finish_response(id);
  } else {
    transport_.respond(id, readable_by(known->second.origin, error_response(error)));
  }
  chats_.erase(known);
}

}  // namespace fvlm::net
