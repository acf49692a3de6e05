// Chats and texts of programs, in the APIs that net/api/protocols.hpp lists: one request over HTTP,
// one response, whole or streamed. For the transport's thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fvlm/engine.hpp"
#include "net/api/chat_request.hpp"
#include "net/api/tools.hpp"
#include "net/http/key_limiter.hpp"
#include "net/http/quota.hpp"
#include "net/http/transport.hpp"
#include "net/service/answer_filter.hpp"
#include "net/service/chat_reader.hpp"
#include "net/service/inbox.hpp"
#include "net/service/metrics.hpp"
#include "net/service/model_service.hpp"
#include "net/service/picture_pool.hpp"
#include "net/service/reporting.hpp"

namespace fvlm::net {

struct ChatOptions {
  std::string model{};  // the name that clients call the model by; empty: the engine's
  std::int64_t max_new_tokens = 256;
  std::size_t max_chats = 256;            // at a time
  std::size_t max_chats_per_address = 0;  // of these; 0: a quarter
  int readers = 2;                        // threads that parse requests
};

class ChatService {
 public:
  ChatService(Engine& engine, Transport& transport, std::shared_ptr<Inbox> inbox,
              PicturePool& pictures, Metrics& metrics, KeyLimiter& key_limits, Reporting reporting,
              ChatOptions options);
  // Cancels running requests.
  ~ChatService();
  ChatService(const ChatService&) = delete;
  ChatService& operator=(const ChatService&) = delete;

  // Answers a request for /v1/... or /api/..., at once or, if it returns nothing, later through the
  // transport.
  std::optional<HttpResponse> answer(ExchangeId id, HttpRequest request);
  // The client has disconnected: cancels its request.
  void abandon(ExchangeId id);
  // From now on new requests are refused.
  void drain() { draining_ = true; }
  // Ends running requests, and tells their clients why.
  void cut();
  // Other limits from now on.
  void set(const ChatOptions& options);

  std::int64_t running() const { return static_cast<std::int64_t>(chats_.size()); }

 private:
  // One of the answers to a request.
  struct Choice {
    AnswerFilter filter{};
    AnswerFilter::Piece said{};          // so far
    std::optional<RequestId> request{};  // once submitted to the engine
    std::optional<ToolCall> call{};      // in place of what was said
    std::optional<AnswerEnd> end{};      // once it has ended, like the next
    Statistics statistics{};

    AnswerChoice whole() const {
      const bool calls = call && !call->name.empty();
      return {said.text, said.logprobs, *end, calls ? &*call : nullptr};
    }
  };
  struct Chat {
    std::string peer{};
    std::string request_id{};
    std::string key{};  // by its name
    KeyLimiter::Lease stream_of_key{};
    std::chrono::steady_clock::time_point arrived{};
    std::chrono::steady_clock::time_point submitted{};
    std::string origin{};  // of the page that sends the request, if any
    Quota::Lease place{};  // among the chats of its address
    // Until the engine has its request. Without it no work is done: its client has disconnected.
    std::shared_ptr<const ChatBody> body{};
    std::string path{};
    std::shared_ptr<AnswerWriter> writer{};  // from when the engine has its request
    bool stream = false;
    bool only_prompt = false;
    bool begun = false;  // the head of a stream is sent
    std::vector<Choice> choices{};
    std::size_t answers = 1;  // to each prompt
  };

  std::optional<HttpResponse> begin(ExchangeId id, HttpRequest request);
  // On the reader's threads, like the next three.
  void submit(ExchangeId id, const ReadChat& read, const char* prompt);
  Request request_of_choice(ExchangeId id, std::size_t index, std::size_t nth,
                            const Request& request);
  void end_at_stop(Request& request, AnswerFilter filter,
                   std::shared_ptr<std::atomic<RequestId>> known);
  void refuse(ExchangeId id, ApiError error);

  // Settings of a request, without what is in its prompts.
  struct Accepted {
    std::shared_ptr<AnswerWriter> writer;
    std::size_t choices;
    std::size_t answers;  // to each prompt
    std::vector<std::string> stop;
    bool may_call;
    bool only_prompt;
    bool stream;
  };
  void accept(ExchangeId id, const Accepted& accepted);
  void on_submitted(ExchangeId id, std::size_t index, RequestId request);
  void on_logprobs(ExchangeId id, std::size_t index, const TokenLogprobs& token);
  void on_text(ExchangeId id, std::size_t index, const std::string& text);
  void on_done(ExchangeId id, std::size_t index, const Result& result);
  void say(ExchangeId id, Chat& chat, std::size_t index, AnswerFilter::Piece piece);
  void end_choice(ExchangeId id, Chat& chat, std::size_t index, Outcome outcome);
  void begin_stream(ExchangeId id, Chat& chat);
  void finish(ExchangeId id, Chat& chat);
  static AnswerUsage usage_of(const Chat& chat);
  void fail(ExchangeId id, const ApiError& error);
  void cancel(const Chat& chat);
  static LogFields fields_of(const Chat& chat);

  Engine& engine_;
  Transport& transport_;
  std::shared_ptr<Inbox> inbox_;
  Metrics& metrics_;
  KeyLimiter& key_limits_;
  Log log_;
  Reporting reporting_;
  ChatOptions options_;
  ModelService model_;
  Quota addresses_;  // chats of each address
  std::string id_prefix_;
  std::map<ExchangeId, Chat> chats_;
  bool draining_ = false;
  ChatReader reader_;
};

}  // namespace fvlm::net
