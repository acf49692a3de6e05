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

#include "net/api/tool_text.hpp"
#include "net/http/access.hpp"
#include "net/http/one_line.hpp"

namespace fvlm::net {
namespace {

std::int64_t now_in_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

ApiError stopping_error() {
  return {.status = 503,
          .message = "the server is stopping",
          .type = "server_error",
          .code = "stopping"};
}

}  // namespace

ChatService::ChatService(Engine& engine, Transport& transport, std::shared_ptr<Inbox> inbox,
                         PicturePool& pictures, Metrics& metrics, KeyLimiter& key_limits,
                         Reporting reporting, ChatOptions options)
    : engine_(engine),
      transport_(transport),
      inbox_(std::move(inbox)),
      metrics_(metrics),
      key_limits_(key_limits),
      log_(reporting.log),
      reporting_(std::move(reporting)),
      options_(std::move(options)),
      model_(engine.info(), options_.model, options_.max_new_tokens),
      addresses_(share_of(options_.max_chats, options_.max_chats_per_address)),
      id_prefix_(fmt::format("{:08x}", std::random_device()())),
      reader_(model_, pictures, options_.readers) {}

ChatService::~ChatService() {
  reader_.stop();
  while (!chats_.empty()) abandon(chats_.begin()->first);
}

std::optional<HttpResponse> ChatService::answer(ExchangeId id, HttpRequest request) {
  if (protocol_of(request.path) == nullptr) return model_.answer(request);
  return begin(id, std::move(request));
}

std::optional<HttpResponse> ChatService::begin(ExchangeId id, HttpRequest request) {
  if (draining_) {
    metrics_.end_chat(request.path, "stopping");
    return error_response(stopping_error(), request.path);
  }
  if (chats_.size() >= options_.max_chats) {
    metrics_.end_chat(request.path, "busy");
    return error_response(busy_error("too many chats at a time"), request.path);
  }
  const auto place = addresses_.take(request.client);
  if (!place) {
    metrics_.end_chat(request.path, "busy");
    return error_response(busy_error("too many chats of your address at a time"), request.path);
  }
  auto stream = key_limits_.take_stream(request.key);
  if (!stream) {
    metrics_.end_chat(request.path, "busy");
    return error_response(busy_error("this key has as many streams as it may have"), request.path);
  }
  if (const auto wait = key_limits_.take_request(request.key); wait.count() > 0) {
    metrics_.end_chat(request.path, "rate_limited");
    HttpResponse response = error_response(
        {.status = 429,
         .message = fmt::format("this key may not ask more often; try again in {} s", wait.count()),
         .type = "rate_limit_error",
         .code = "rate_limited"},
        request.path);
    response.set_header("Retry-After", std::to_string(wait.count()));
    return response;
  }
  const auto body = std::make_shared<const ChatBody>(
      ChatBody{request.client, std::move(request.body), std::move(request.memory)});
  const Chat& chat = chats_
                         .emplace(id, Chat{.peer = request.peer,
                                           .request_id = request.request_id,
                                           .key = request.key,
                                           .stream_of_key = *std::move(stream),
                                           .arrived = std::chrono::steady_clock::now(),
                                           .origin = request.origin,
                                           .place = *place,
                                           .body = body,
                                           .path = request.path})
                         .first->second;
  log_(LogLevel::kInfo,
       fmt::format("📥 {} {} {} 📊 {:.1f} KB", chat.peer, chat.path, id,
                   static_cast<double>(body->text.size()) / 1000),
       fields_of(chat));
  const Protocol& protocol = *protocol_of(request.path);
  const ChatLimits limits{.max_new_tokens = options_.max_new_tokens,
                          .vocabulary = engine_.info().vocabulary,
                          .context_tokens = engine_.info().context_tokens,
                          .tokens_of_image = engine_.info().image_tokens};
  reader_.read(body, protocol, limits, [this, id, &protocol](const Read<ReadChat>& read) {
    if (const auto* error = std::get_if<ApiError>(&read)) return refuse(id, *error);
    submit(id, std::get<ReadChat>(read), protocol.prompt);
  });
  return std::nullopt;
}

void ChatService::refuse(ExchangeId id, ApiError error) {
  inbox_->post([this, id, error = std::move(error)] { fail(id, error); });
}

void ChatService::submit(ExchangeId id, const ReadChat& read, const char* prompt) {
  const ChatRequest& chat = read.asked.chat;
  const auto answers = static_cast<std::size_t>(chat.answers);
  const std::size_t choices = read.requests.size() * answers;
  inbox_->post([this, id,
                accepted = Accepted{read.asked.writer, choices, answers, chat.stop, chat.may_call,
                                    chat.only_prompt, chat.stream}] { accept(id, accepted); });
  if (const std::int64_t damaged = read.damaged_images; damaged > 0) {
    inbox_->post([this, id, damaged] {
      metrics_.add_damaged_pictures(damaged);
      const auto known = chats_.find(id);
      if (known == chats_.end()) return;
      log_(LogLevel::kWarning,
           fmt::format("⚠️ {} {}: {} damaged pictures", known->second.path, id, damaged),
           fields_of(known->second));
    });
  }
  try {
    for (std::size_t index = 0; index < choices; ++index) {
      Request request =
          request_of_choice(id, index, index % answers, read.requests[index / answers]);
      const auto known = std::make_shared<std::atomic<RequestId>>();
      if (!chat.stop.empty()) end_at_stop(request, AnswerFilter(chat.stop, chat.may_call), known);
      const RequestId number = engine_.submit(std::move(request));
      *known = number;
      known->notify_one();
      inbox_->post([this, id, index, number] { on_submitted(id, index, number); });
    }
  } catch (const std::exception&) {
    refuse(id, error_of_prompt(std::current_exception(), prompt));
  }
}

// For the answer `nth` to a prompt, which is `index` among all.
Request ChatService::request_of_choice(ExchangeId id, std::size_t index, std::size_t nth,
                                       const Request& request) {
  Request one = request;
  if (one.sampling.seed) *one.sampling.seed += nth;
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

// On the engine's thread, before the next token: an answer costs, and its usage counts, the tokens
// up to the one that completes a stop string, whatever this thread is busy with.
void ChatService::end_at_stop(Request& request, AnswerFilter filter,
                              std::shared_ptr<std::atomic<RequestId>> known) {
  request.on_text = [this, say = std::move(request.on_text), filter = std::move(filter),
                     known = std::move(known)](std::string_view text) mutable {
    say(text);
    filter.add(text);
    if (!filter.stopped()) return;
    known->wait(0);  // until submit() has returned
    engine_.cancel(*known);
  };
}

void ChatService::accept(ExchangeId id, const Accepted& accepted) {
  const auto known = chats_.find(id);
  if (known == chats_.end()) return;
  Chat& chat = known->second;
  chat.body.reset();
  chat.submitted = std::chrono::steady_clock::now();
  chat.writer = accepted.writer;
  chat.writer->set_head({.id = fmt::format("{}{:08x}", id_prefix_, id),
                         .model = model_.name(),
                         .created = now_in_seconds()});
  chat.stream = accepted.stream;
  chat.only_prompt = accepted.only_prompt;
  chat.answers = accepted.answers;
  for (std::size_t i = 0; i < accepted.choices; ++i) {
    chat.choices.emplace_back().filter = AnswerFilter(accepted.stop, accepted.may_call);
  }
  if (!chat.choices.empty()) return;
  finish(id, chat);  // there is nothing to answer
  chats_.erase(known);
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
    if (choice.request && !choice.end) engine_.cancel(*choice.request);
  }
}

void ChatService::abandon(ExchangeId id) {
  const auto known = chats_.find(id);
  if (known == chats_.end()) return;
  cancel(known->second);
  const Chat& chat = known->second;
  metrics_.end_chat(chat.path, "abandoned");
  log_(LogLevel::kInfo, fmt::format("🔌 {} left {} {}", chat.peer, chat.path, id), fields_of(chat));
  chats_.erase(known);
}

void ChatService::on_logprobs(ExchangeId id, std::size_t index, const TokenLogprobs& token) {
  const auto known = chats_.find(id);
  if (known == chats_.end() || known->second.only_prompt) return;
  known->second.choices[index].filter.add(token);
}

void ChatService::on_text(ExchangeId id, std::size_t index, const std::string& text) {
  const auto known = chats_.find(id);
  if (known == chats_.end()) return;
  Chat& chat = known->second;
  Choice& choice = chat.choices[index];
  if (choice.filter.stopped() || chat.only_prompt) return;
  say(id, chat, index, choice.filter.add(text));
}

void ChatService::say(ExchangeId id, Chat& chat, std::size_t index, AnswerFilter::Piece piece) {
  if (chat.stream) {
    begin_stream(id, chat);
    if (!piece.empty()) {
      transport_.add_to_response(id, chat.writer->piece(index, piece.text, piece.logprobs));
    }
  }
  AnswerFilter::Piece& said = chat.choices[index].said;
  said.text += piece.text;
  if (chat.stream) return;
  std::move(piece.logprobs.begin(), piece.logprobs.end(), std::back_inserter(said.logprobs));
}

void ChatService::begin_stream(ExchangeId id, Chat& chat) {
  if (std::exchange(chat.begun, true)) return;
  transport_.begin_response(
      id, readable_by(chat.origin, {200,
                                    chat.writer->stream_type(),
                                    chat.writer->first(chat.choices.size()),
                                    {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}}}));
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
  choice.statistics = result.statistics;
  metrics_.add(result.statistics,
               std::chrono::duration<double>(chat.submitted - chat.arrived).count());
  if (std::ranges::any_of(chat.choices, [](const Choice& c) { return !c.end; })) return;
  finish(id, chat);
  chats_.erase(known);
}

void ChatService::end_choice(ExchangeId id, Chat& chat, std::size_t index, Outcome outcome) {
  Choice& choice = chat.choices[index];
  choice.call = choice.filter.take_call(outcome == Outcome::kLength);
  choice.end = choice.call && choice.call->is_whole              ? AnswerEnd::kToolCall
               : outcome == Outcome::kLength || chat.only_prompt ? AnswerEnd::kLength
                                                                 : AnswerEnd::kStop;
  AnswerFilter::Piece rest = choice.filter.finish();
  say(id, chat, index, choice.call && chat.stream ? AnswerFilter::Piece() : std::move(rest));
  if (chat.stream) transport_.add_to_response(id, chat.writer->end_of(index, choice.whole()));
}

AnswerUsage ChatService::usage_of(const Chat& chat) {
  AnswerUsage usage;
  for (std::size_t i = 0; i < chat.choices.size(); ++i) {
    const Statistics& one = chat.choices[i].statistics;
    if (!chat.only_prompt) usage.new_tokens += one.new_tokens;
    usage.prompt_s = std::max(usage.prompt_s, one.encode_s + one.prefill_s);
    usage.decode_s = std::max(usage.decode_s, one.decode_s);
    if (i % chat.answers != 0) continue;
    usage.prompt_tokens += one.prompt_tokens;
    usage.cached_tokens += one.cached_tokens;
  }
  usage.total_s =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - chat.arrived).count();
  return usage;
}

void ChatService::finish(ExchangeId id, Chat& chat) {
  metrics_.end_chat(chat.path, "answered");
  for (const Choice& choice : chat.choices) {
    reporting_.answered(
        fmt::format("📤 {} {} {} ✨ {:.0f} ms", chat.peer, chat.path, id,
                    1000 * choice.statistics.total_s),
        choice.call ? tool_call_text(choice.call->name, choice.call->arguments) : choice.said.text,
        choice.statistics, fields_of(chat));
  }
  const AnswerUsage usage = usage_of(chat);
  if (chat.stream) {
    begin_stream(id, chat);
    transport_.add_to_response(id, chat.writer->last(usage));
    transport_.finish_response(id);
    return;
  }
  std::vector<AnswerChoice> choices;
  for (const Choice& choice : chat.choices) choices.push_back(choice.whole());
  const std::string body = chat.writer->whole(choices, usage);
  transport_.respond(id, readable_by(chat.origin, {200, "application/json", body, {}}));
}

void ChatService::cut() {
  while (!chats_.empty()) {
    fail(chats_.begin()->first, stopping_error());
  }
}

void ChatService::set(const ChatOptions& options) {
  options_.max_new_tokens = options.max_new_tokens;
  options_.max_chats = options.max_chats;
  model_.set_max_answer_tokens(options.max_new_tokens);
  addresses_.set_limit(share_of(options.max_chats, options.max_chats_per_address));
}

LogFields ChatService::fields_of(const Chat& chat) {
  return {.client = chat.peer, .request_id = chat.request_id, .key = chat.key};
}

void ChatService::fail(ExchangeId id, const ApiError& error) {
  const auto known = chats_.find(id);
  if (known == chats_.end()) return;
  cancel(known->second);
  const Chat& chat = known->second;
  metrics_.end_chat(chat.path, error.code.empty() ? "bad_request" : error.code);
  if (chat.begun) {  // else the response says it, and is logged
    log_(LogLevel::kError, fmt::format("❌ {} {} {}: {}", chat.peer, chat.path, id, error.message),
         fields_of(chat));
    transport_.add_to_response(id, chat.writer->failure(error));
    transport_.finish_response(id);
  } else {
    transport_.respond(id, readable_by(chat.origin, error_response(error, chat.path)));
  }
  chats_.erase(known);
}

}  // namespace fvlm::net
